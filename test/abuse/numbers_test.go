// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"strings"
	"time"
)

// numberAttacks are values that cost whoever checks them.
func numberAttacks() []attack {
	return []attack{
		{name: "numbers that take long to compute", arrange: declareNumbers, act: publishNumbers, after: (*scene).cheapNumbers},
		{name: "values that take long to compare", arrange: declareValues, act: publishValues, after: (*scene).cheapValues},
	}
}

const (
	// usualCPU is what the gateway takes for the neighbour's events, in cores.
	usualCPU = 0.2
	// inputsPerSecond is how many requests a second bring something hard: what one
	// person's script sends, nothing that a limit on rates would stop.
	inputsPerSecond, inputsAtATime = 10, 4
)

const (
	numbersType = "abuse.numbers"
	valuesType  = "abuse.values"
)

// cheaper says that an answer to the attacker takes no more of the gateway's CPU.
func (s *scene) cheaper(found attackReport, most time.Duration) {
	s.Helper()
	gateway := s.figures.processes[0]
	if gateway.ended != "" || found.total() == 0 {
		s.Error("no figure of the gateway's CPU for an answer")
		return
	}
	own := gateway.cpu - time.Duration(usualCPU*float64(gateway.cpu)/max(gateway.cores, usualCPU))
	each := own / time.Duration(found.total())
	s.figure("%s of the gateway's CPU for each of %d answers, the longest after %s", each.Round(10*time.Microsecond), found.total(), found.Longest.Round(time.Millisecond))
	if each > most {
		s.Errorf("an answer took %s of the gateway's CPU, at most %s may be", each, most)
	}
}

// keywords are those of JSON Schema that compute with numbers.
var keywords = []struct{ name, schema string }{
	{"minimum", `"minimum":0`},
	{"multipleOf", `"multipleOf":0.01`},
	{"exclusiveMaximum", `"exclusiveMaximum":100`},
	{"enum", `"enum":[1,2,3]`},
	{"const", `"const":1`},
}

func declareNumbers(s *scene) {
	var properties []string
	for _, keyword := range keywords {
		for _, kind := range []string{"number", "integer"} {
			properties = append(properties, fmt.Sprintf(`"%s_%s":{"type":%q,%s}`, keyword.name, kind, kind, keyword.schema))
		}
	}
	s.declareType(numbersType, `{"type":"object","properties":{`+strings.Join(properties, ",")+`}}`)
	s.token("publisher", "bbmcp-publisher")
	s.known("publisher", numbersType, `{}`)
}

// shortNumbers are spellings that are short beside what they unfold to, longNumbers
// those of whole requests. Most of the latter are 1, which is within every bound.
var shortNumbers = []string{
	"1e1000001", "1e-1000001", "1E999999999", "-1e-999999999", "1e400", "1e-400", "0e999999999", "1e+00000000000000000000",
	strings.Repeat("1234567890", 12) + "e-119", "1" + strings.Repeat("0", 90_000) + "e-90000", "9" + strings.Repeat("9", 90_000),
}

func longNumbers() []string {
	zeros := func(n int) string { return strings.Repeat("0", n) }
	return []string{
		"1" + zeros(1_000_001) + "e-1000001", // more than the library's largest exponent
		"1" + zeros(1_000_000) + "e-1000000",
		"1" + zeros(400_000) + "e-400000",
		"0." + zeros(1_000_000) + "1e1000001",
		"0." + zeros(400_000) + "1e400001",
		"1." + zeros(1_000_000),
		strings.Repeat("9", 1_000_000),
	}
}

// publishNumbers sends long numbers in each place and form, and between them short
// ones, all places at once.
func publishNumbers(a *attacker) {
	var places []string
	for _, keyword := range keywords {
		places = append(places, keyword.name+"_number", keyword.name+"_integer")
	}
	long := longNumbers()
	a.pace(inputsPerSecond, inputsAtATime, func(i int) {
		if round := i / 2; i%2 == 0 {
			spelling := long[round/len(places)%len(long)]
			form := round
			if len(spelling) > 1<<20 {
				form = 3 // nothing else may be so large
			}
			a.publishAs(form, numbersType, fmt.Sprintf(`{%q:%s}`, places[round%len(places)], spelling))
			return
		}
		var members []string
		for j, place := range places {
			members = append(members, fmt.Sprintf(`%q:%s`, place, shortNumbers[(i/2+j)%len(shortNumbers)]))
		}
		a.publishAs(i/2, numbersType, "{"+strings.Join(members[i/2%len(members):], ",")+"}")
	})
}

// publishAs publishes data in one of the forms that there are.
func (a *attacker) publishAs(i int, eventType, data string) {
	attributes := fmt.Sprintf(`"specversion":"1.0","id":"n%d","source":"/abuse","type":%q`, i, eventType)
	c := call{path: "/v1/events", token: a.Tokens["publisher"]}
	switch i % 4 {
	case 0:
		c.body = fmt.Appendf(nil, `{"event":%q,"data":%s}`, eventType, data)
	case 1:
		c.header = map[string]string{"Content-Type": "application/cloudevents+json"}
		c.body = fmt.Appendf(nil, `{%s,"data":%s}`, attributes, data)
	case 2:
		c.header = map[string]string{"Ce-Specversion": "1.0", "Ce-Id": fmt.Sprint("n", i), "Ce-Source": "/abuse", "Ce-Type": eventType}
		c.body = []byte(data)
	case 3:
		c.header = map[string]string{"Content-Type": "application/cloudevents-batch+json"}
		good := fmt.Sprintf(`{"specversion":"1.0","id":"good%d","source":"/abuse","type":%q,"data":{}}`, i, eventType)
		c.body = fmt.Appendf(nil, `[%s,{%s,"data":%s},{%s,"data":%s}]`, good, attributes, data, attributes, data)
		if _, text := a.do(c); text != "" && !strings.Contains(text, `"status":202`) {
			a.note("500 a good event of a batch is lost", text, 0)
		}
		return
	}
	a.do(c)
}

func (s *scene) cheapNumbers(found attackReport) {
	s.answersBelow500(found)
	s.cheaper(found, 100*time.Millisecond)
}

func declareValues(s *scene) {
	s.declareType(valuesType, `{"type":"object","properties":{`+
		`"unique":{"type":"array","uniqueItems":true},`+
		`"contains":{"type":"array","contains":{"const":"none of them"}},`+
		`"pattern":{"type":"array","items":{"type":"string","pattern":"^(a+)+$"}},`+
		`"any":{"type":"array","items":{"anyOf":[{"required":["a"]},{"required":["b"]},{"type":"string","maxLength":1}]}},`+
		`"const":{"const":{"a":[1,2,3]}}},"propertyNames":{"maxLength":64}}`)
	s.token("publisher", "bbmcp-publisher")
	s.known("publisher", valuesType, `{}`)
}

func publishValues(a *attacker) {
	const room = 250 << 10 // what a payload may have
	fill := func(one func(i int) string) string {
		var list strings.Builder
		list.WriteString("[")
		for i := 0; list.Len() < room; i++ {
			if i > 0 {
				list.WriteString(",")
			}
			list.WriteString(one(i))
		}
		list.WriteString("]")
		return list.String()
	}
	nested := strings.Repeat("[", 60) + "1" + strings.Repeat("]", 60)
	data := []string{
		`{"unique":` + fill(func(i int) string { return fmt.Sprint(i) }) + `}`,
		`{"unique":` + fill(func(i int) string { return fmt.Sprintf(`{"a":%d}`, i) }) + `}`,
		`{"unique":` + fill(func(i int) string { return fmt.Sprintf(`[[%d]]`, i) }) + `}`,
		`{"unique":` + fill(func(i int) string { return nested }) + `}`,
		`{"contains":` + fill(func(int) string { return "1" }) + `}`,
		`{"pattern":` + fill(func(int) string { return `"` + strings.Repeat("a", 1000) + `!"` }) + `}`,
		`{"any":` + fill(func(int) string { return "{}" }) + `}`,
		`{"const":` + fill(func(int) string { return "{}" }) + `}`,
		`{` + strings.Trim(fill(func(i int) string { return fmt.Sprintf(`"k%d":0`, i) }), "[]") + `}`,
		`{"x":` + fill(func(int) string { return `"\u0000\u2028"` }) + `}`,
	}
	a.pace(inputsPerSecond, inputsAtATime, func(i int) { a.publishAs(i/len(data), valuesType, data[i%len(data)]) })
}

func (s *scene) cheapValues(found attackReport) {
	s.answersBelow500(found)
	s.cheaper(found, 400*time.Millisecond)
}
