// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// input is a request that is made of an OpenAPI document.
type input struct {
	what   string // for people
	method string
	path   string // with its query
	header map[string]string
	body   string
}

// openAPIDocument is the part of an OpenAPI document that requests are made of.
type openAPIDocument struct {
	Paths      map[string]map[string]openOperation
	Components struct{ Schemas map[string]schema }
}

type openOperation struct {
	OperationID string
	Parameters  []parameter
	RequestBody *struct {
		Content map[string]struct{ Schema schema }
	}
}

type parameter struct {
	In, Name string
	Required bool
	Schema   schema
}

// schema is the part of a JSON Schema that limits are in.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 inputTypes
	MinLength, MaxLength *int
	Minimum, Maximum     *float64
	MaxItems             *int
	Enum, Examples       []any
	Items                *schema
	Properties           map[string]schema
	Required             []string
}

// inputTypes is one type, or several.
type inputTypes []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *inputTypes) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*t = inputTypes{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(t))
}

// inputs are requests to every operation, each with one thing at a limit or beyond
// it. known are values of an operation's parameters that stand for something that
// exists.
func (d *openAPIDocument) inputs(known func(path, method string) map[string]string, eventType string) []input {
	var all []input
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
			g := inputGenerator{document: d, operation: d.Paths[path][method], method: strings.ToUpper(method), template: path, known: known(path, method), eventType: eventType}
			g.parameters()
			g.bodies()
			all = append(all, g.made...)
		}
	}
	return all
}

// nothingWrong is what an input is called that is as it should be.
const nothingWrong = "as it should be"

// inputGenerator makes the requests of one operation.
type inputGenerator struct {
	document  *openAPIDocument
	operation openOperation
	method    string
	template  string
	known     map[string]string
	eventType string
	made      []input
}

// add makes a request with one parameter changed; "": none.
func (g *inputGenerator) add(what string, changed parameter, value string, header map[string]string, body string) {
	path, query := g.template, url.Values{}
	headers := maps.Clone(header)
	if headers == nil {
		headers = map[string]string{}
	}
	for _, p := range g.operation.Parameters {
		is, set := g.known[p.Name], p.In == "path" || p.Required
		if p.Name == changed.Name && p.In == changed.In {
			is, set = value, true
		}
		switch {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(is))
		case p.In == "query" && set:
			query.Set(p.Name, is)
		case p.In == "header" && set:
			headers[p.Name] = strings.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f {
					return '?' // a client cannot send it
				}
				return r
			}, is)
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	g.made = append(g.made, input{what: g.operation.OperationID + ": " + what, method: g.method, path: path, header: headers, body: body})
}

func (g *inputGenerator) parameters() {
	content, body := g.plainBody()
	for _, p := range g.operation.Parameters {
		for name, value := range inputTexts(g.document.resolve(p.Schema)) {
			g.add(p.In+" "+p.Name+" is "+name, p, value, content, body)
		}
	}
	g.add(nothingWrong, parameter{}, "", content, body)
}

// plainBody is a body that is taken, or nearly.
func (g *inputGenerator) plainBody() (header map[string]string, body string) {
	if g.operation.RequestBody == nil {
		return nil, ""
	}
	for _, contentType := range slices.Sorted(maps.Keys(g.operation.RequestBody.Content)) {
		if contentType == "application/json" {
			return map[string]string{"Content-Type": contentType}, g.text(g.example(g.operation.RequestBody.Content[contentType].Schema, 0))
		}
	}
	return nil, ""
}

func (g *inputGenerator) text(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// example is a value that a schema allows: what is required, and no more.
func (g *inputGenerator) example(s schema, level int) any {
	s = g.document.resolve(s)
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case slices.Contains(s.Type, "object") || s.Properties != nil:
		object := map[string]any{}
		for _, name := range s.Required {
			object[name] = g.example(s.Properties[name], level+1)
		}
		return object
	case slices.Contains(s.Type, "array"):
		if s.Items == nil || level > 4 {
			return []any{}
		}
		return []any{g.example(*s.Items, level+1)}
	case slices.Contains(s.Type, "integer"), slices.Contains(s.Type, "number"):
		return 1
	case slices.Contains(s.Type, "boolean"):
		return true
	case slices.Contains(s.Type, "string"):
		return g.eventType
	default:
		return map[string]any{}
	}
}

// bodies makes a request of each kind of body with each member at its limits, and
// with what no body should be.
func (g *inputGenerator) bodies() {
	if g.operation.RequestBody == nil {
		return
	}
	for _, contentType := range slices.Sorted(maps.Keys(g.operation.RequestBody.Content)) {
		s := g.document.resolve(g.operation.RequestBody.Content[contentType].Schema)
		header := map[string]string{"Content-Type": contentType}
		for name, body := range wholeInputs() {
			g.add(contentType+" is "+name, parameter{}, "", header, body)
		}
		wrap := func(text string) string { return text }
		if slices.Contains(s.Type, "array") && s.Items != nil {
			limit := 100
			if s.MaxItems != nil {
				limit = *s.MaxItems
			}
			s = g.document.resolve(*s.Items)
			good := g.text(g.example(s, 0))
			for _, n := range []int{limit, limit + 1, 50 * limit} {
				g.add(fmt.Sprintf("%s has %d items", contentType, n), parameter{}, "", header, "["+repeatedInput(good, n)+"]")
			}
			wrap = func(text string) string { return "[" + good + "," + text + "]" }
		}
		g.members(contentType, header, s, wrap)
	}
}

// members makes a request for each value of each member of an object.
func (g *inputGenerator) members(contentType string, header map[string]string, s schema, wrap func(string) string) {
	base, ok := g.example(s, 0).(map[string]any)
	if !ok {
		return
	}
	base["event"], base["type"], base["id"] = g.eventType, g.eventType, "an-id"
	for name := range base {
		if _, known := s.Properties[name]; !known {
			delete(base, name)
		}
	}
	for _, member := range append(slices.Sorted(maps.Keys(s.Properties)), "no member") {
		property := g.document.resolve(s.Properties[member])
		others := maps.Clone(base)
		delete(others, member)
		begin := strings.TrimSuffix(g.text(others), "}")
		if len(others) > 0 {
			begin += ","
		}
		for name, value := range inputValues(property) {
			g.add(contentType+": "+member+" is "+name, parameter{}, "", header, wrap(begin+g.text(member)+":"+value+"}"))
			if property.Properties == nil && (len(property.Type) == 0 || slices.Contains(property.Type, "object")) { // of any form
				g.add(contentType+": "+member+" holds "+name, parameter{}, "", header, wrap(begin+g.text(member)+`:{"a":`+value+"}}"))
			}
		}
	}
}

func (d *openAPIDocument) resolve(s schema) schema {
	for s.Ref != "" {
		s = d.Components.Schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
	}
	return s
}

func repeatedInput(text string, n int) string {
	return strings.TrimSuffix(strings.Repeat(text+",", n), ",")
}

// inputTexts are values of a parameter, by what they are.
func inputTexts(s schema) map[string]string {
	all := map[string]string{
		"empty": "", "a NUL": "\x00", "no UTF-8": "\xff\xfe", "a line break": "a\r\nX: y", "markup": "<script>{{.}}%00%zz", "a path": "../../../etc/passwd",
		"turned round": "\u202e\u2066", "8 KiB": strings.Repeat("ü", 4<<10), "32 KiB": strings.Repeat("a,", 16<<10), "not a number": "NaN",
		"a number beyond all": "1e999999999", "a small number": "1e-1000000", "a long number": strings.Repeat("9", 4<<10), "negative": "-1", "in hex": "0x10", "a fraction": "1.5",
		"beyond 63 bits": "9223372036854775808", "JSON": `{"a":` + strings.Repeat("[", 1000),
	}
	if s.MaxLength != nil {
		all["as long as may be"], all["one longer"] = strings.Repeat("a", *s.MaxLength), strings.Repeat("a", *s.MaxLength+1)
	}
	for name, limit := range map[string]*float64{"minimum": s.Minimum, "maximum": s.Maximum} {
		if limit != nil {
			all["its "+name], all["less than its "+name], all["more than its "+name] = fmt.Sprint(*limit), fmt.Sprint(*limit-1), fmt.Sprint(*limit+1)
		}
	}
	for _, value := range s.Enum {
		all["the choice "+fmt.Sprint(value)] = fmt.Sprint(value)
	}
	return all
}

// inputValues are JSON values of a member, by what they are.
func inputValues(s schema) map[string]string {
	zeros := strings.Repeat("0", 300_000)
	all := map[string]string{
		"null": "null", "true": "true", "a number": "1", "a string": `"a"`, "an array": "[]", "an object": "{}",
		"a number spelled at length": "1" + zeros + "e-300000", "a number with a large exponent": "1e999999999", "with a small one": "1e-1000000", "a number of 400 characters": "1" + zeros[:399],
		"many digits": "9" + strings.ReplaceAll(zeros, "0", "9"), "-0": "-0", "half a surrogate": `"\ud800"`, "no UTF-8": "\"\xff\"", "a string of 300 kB": `"` + strings.Repeat("a", 300_000) + `"`,
		"escapes": `"` + strings.Repeat(`\u0000`, 50_000) + `"`, "60 levels": nestedInput("[", "]", 60), "64 levels": nestedInput("[", "]", 64), "9,000 levels": nestedInput("[", "]", 9000), "11,000 levels": nestedInput(`{"a":`, "}", 11_000),
		"levels that do not end": strings.Repeat("[", 200_000), "many numbers": "[" + repeatedInput("1e308", 40_000) + "]", "many members": manyMembersInput(20_000), "one key twice": `{"a":1,"a":2}`,
		"numbers as keys": `{"9":1,"8":2,"4294967295":3,"01":4}`, "an object of 250 kB": `{"a":"` + strings.Repeat("x", 250_000) + `"}`, "an object of 262 kB": `{"a":"` + strings.Repeat("x", 262_144) + `"}`,
		"objects in 62 levels": nestedInput(`{"a":`, "}", 62), "many strings": "[" + repeatedInput(`"a.b.*"`, 20_000) + "]",
	}
	if s.MaxLength != nil {
		for _, n := range []int{*s.MaxLength, *s.MaxLength + 1} {
			all[fmt.Sprintf("%d characters", n)] = `"` + strings.Repeat("a", n) + `"`
			all[fmt.Sprintf("%d large characters", n)] = `"` + strings.Repeat("😀", n) + `"`
		}
	}
	if s.MaxItems != nil {
		for _, n := range []int{*s.MaxItems, *s.MaxItems + 1} {
			all[fmt.Sprintf("%d items", n)] = "[" + repeatedInput(`"a.b"`, n) + "]"
		}
	}
	for name, limit := range map[string]*float64{"minimum": s.Minimum, "maximum": s.Maximum} {
		if limit != nil {
			all["its "+name], all["less than its "+name], all["more than its "+name] = fmt.Sprint(*limit), fmt.Sprint(*limit-1), fmt.Sprint(*limit+1)
		}
	}
	return all
}

func nestedInput(open, end string, n int) string {
	middle := ""
	if strings.HasSuffix(open, ":") {
		middle = "1"
	}
	return strings.Repeat(open, n) + middle + strings.Repeat(end, n)
}

func manyMembersInput(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":1`, i)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// wholeInputs are bodies as a whole, by what they are.
func wholeInputs() map[string]string {
	return map[string]string{
		"empty": "", "a space": " ", "null": "null", "a number": "1", "a word": "true", "an array": "[]", "an object": "{}", "two objects": "{}{}", "cut": `{"url":"ht`, "no JSON": "url=https://example.com",
		"no UTF-8": "{\"\xff\":1}", "a byte order mark": "\ufeff{}", "levels that do not end": strings.Repeat("[", 500_000), "objects that do not end": strings.Repeat(`{"a":`, 200_000),
		"many members": manyMembersInput(60_000), "1 MiB of spaces": strings.Repeat(" ", 1<<20), "more than 1 MiB": `{"a":"` + strings.Repeat("a", 1<<20) + `"}`, "more than 8 MiB": `["` + strings.Repeat("a", 8<<20) + `"]`,
		"a number alone of 1 MB": strings.Repeat("1", 1_000_000), "a long key": `{"` + strings.Repeat("k", 500_000) + `":1}`, "many items": "[" + repeatedInput("{}", 100_000) + "]",
	}
}
