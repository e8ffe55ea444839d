// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/test/cost"
)

// listed repeats an item, separated by commas.
func listed(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }

// counted lists items that a number is put into.
func counted(format string, n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(items, ",")
}

// doubling is a schema in which each definition applies the next one twice.
func doubling(format, last string, n int) string {
	definitions := make([]string, n)
	for i := range definitions {
		next := fmt.Sprintf(`{"$ref":"#/$defs/d%d"}`, i+1)
		definitions[i] = fmt.Sprintf(`"d%d":`+format, i, next, next)
	}
	return fmt.Sprintf(`"$ref":"#/$defs/d0","$defs":{%s,"d%d":%s}`, strings.Join(definitions, ","), n, last)
}

// shapes are arrays that differ but hold the same numbers in the same order.
func shapes(n int) string {
	var all []string
	var grow func(open, left int, text string)
	grow = func(open, left int, text string) {
		if len(all) == n {
			return
		}
		if left == 0 {
			all = append(all, "["+text+strings.Repeat("]", open)+"]")
			return
		}
		if open < 12 {
			grow(open+1, left-1, text+"[")
		}
		if open > 0 {
			grow(open-1, left, text+"],")
		}
	}
	grow(0, 9, "")
	for i := range all {
		all[i] = strings.NewReplacer(",]", "]", "][", "],[").Replace(all[i])
	}
	return strings.Join(all, ",")
}

// costly are checks that would not end, or not soon.
var costly = []struct{ name, schema, data string }{
	{"items of two keywords", `{"properties":{"a":{"items":{"type":"integer","minimum":0}}}}`, `{"a":[` + listed("1", 125_000) + `]}`},
	{"items that all fail", `{"properties":{"a":{"items":{"type":"string"}}}}`, `{"a":[` + listed("1", 125_000) + `]}`},
	{"items that are false", `{"properties":{"a":{"items":false}}}`, `{"a":[` + listed("1", 125_000) + `]}`},
	{"multiples of small numbers", `{"properties":{"a":{"items":{"multipleOf":1e-300}}}}`, `{"a":[` + listed("1.7976931348623157e308", 10_000) + `]}`},
	{"integers with exponents", `{"properties":{"a":{"items":{"type":"integer","minimum":1e-300,"maximum":1e308}}}}`, `{"a":[` + listed("1e300", 37_000) + `]}`},
	{"unique items of one hash", `{"properties":{"a":{"uniqueItems":true}}}`, `{"a":[` + shapes(9000) + `]}`},
	{"unique numbers", `{"properties":{"a":{"uniqueItems":true}}}`, `{"a":[` + counted("%d", 40_000) + `]}`},
	{"unique items at every level", `{"$ref":"#/$defs/a","$defs":{"a":{"uniqueItems":true,"items":{"$ref":"#/$defs/a"},"additionalProperties":{"$ref":"#/$defs/a"}}}}`, `{"a":` + strings.Repeat("[", 60) + counted("%d", 40_000) + strings.Repeat("]", 60) + `}`},
	{"an enum of many numbers", `{"properties":{"a":{"items":{"enum":[` + counted("%d", 10_000) + `]}}}}`, `{"a":[` + listed("9999", 50_000) + `]}`},
	{"an enum of many strings", `{"properties":{"a":{"items":{"enum":[` + counted(`"%d"`, 8_000) + `]}}}}`, `{"a":[` + listed(`"7999"`, 35_000) + `]}`},
	{"an enum of numbers and long numbers", `{"properties":{"a":{"items":{"enum":[` + counted("%d", 10_000) + `]}}}}`, `{"a":[` + listed("1e300", 37_000) + `]}`},
	{"alternatives within alternatives", `{` + doubling(`{"anyOf":[%s,%s]}`, `{"required":["z"]}`, 40) + `}`, `{"a":1}`},
	{"all of all", `{` + doubling(`{"allOf":[%s,%s]}`, `{"required":["a"]}`, 40) + `}`, `{"a":1}`},
	{"schemas that depend on members", `{` + doubling(`{"dependentSchemas":{"a":%s,"b":%s}}`, `{"required":["z"]}`, 40) + `}`, `{"a":1,"b":2}`},
	{"the same in a negation", `{"not":{` + strings.Replace(doubling(`{"dependentSchemas":{"a":%s,"b":%s}}`, `{"required":["z"]}`, 40), `,"$defs"`, `},"$defs"`, 1) + `}`, `{"a":1,"b":2}`},
	{"recursion through data", `{"anyOf":[{"properties":{"a":{"$ref":"#"}},"required":["x"]},{"properties":{"a":{"$ref":"#"}},"required":["y"]}]}`, strings.Repeat(`{"a":`, 60) + `{}` + strings.Repeat("}", 60)},
	{"many alternatives", `{"properties":{"a":{"items":{"anyOf":[` + listed(`{"type":"string"}`, 3000) + `]}}}}`, `{"a":[` + listed("{}", 80_000) + `]}`},
	{"recursion with many alternatives", `{"$defs":{"a":{"anyOf":[` + listed(`{"items":{"$ref":"#/$defs/a"},"minItems":3}`, 1000) + `]}},"properties":{"a":{"$ref":"#/$defs/a"}}}`, `{"a":` + strings.Repeat("[", 62) + strings.Repeat("]", 62) + `}`},
	{"a long chain", `{"properties":{"a":{"items":{"$ref":"#/$defs/d0"}}},"$defs":{` + func() string {
		all := make([]string, 1200)
		for i := range all {
			all[i] = fmt.Sprintf(`"d%d":{"allOf":[{"$ref":"#/$defs/d%d"}]}`, i, i+1)
		}
		return strings.Join(all, ",") + `,"d1200":{"type":"integer"}`
	}() + `}}`, `{"a":[` + listed("1", 100_000) + `]}`},
	{"members that are not evaluated", `{"anyOf":[` + listed(`{"required":["z"]}`, 1000) + `,true],"unevaluatedProperties":true}`, `{` + counted(`"%d":1`, 25_000) + `}`},
	{"names against patterns", `{"patternProperties":{` + counted(`"^[a-z]{1,64}%d$":true`, 1000) + `}}`, `{` + counted(`"abcdefghij%d":1`, 10_000) + `}`},
	{"a long text against a large pattern", `{"properties":{"a":{"pattern":"(a?){500}(a*)*$"}}}`, `{"a":"` + strings.Repeat("a", 250_000) + `b"}`},
	{"a long text against a pattern that fails at once", `{"properties":{"a":{"pattern":"^b{1000}$"}}}`, `{"a":"` + strings.Repeat("a", 250_000) + `"}`},
	{"regular expressions as data", `{"properties":{"a":{"items":{"format":"regex"}}}}`, `{"a":[` + listed(`"(x{30}){30}"`, 18_000) + `]}`},
	{"names of properties", `{"propertyNames":{"anyOf":[` + listed(`{"maxLength":0}`, 1000) + `]}}`, `{` + counted(`"%d":1`, 25_000) + `}`},
	{"contained items", `{"properties":{"a":{"contains":{"allOf":[` + listed(`{"type":"integer"}`, 1000) + `]},"items":{"not":{"const":2}}}}}`, `{"a":[` + listed("1", 100_000) + `]}`},
}

// What it may cost to compile a schema of so many bytes, and to check so many bytes
// of data, whatever the schema says.
var (
	compiling = cost.Most{Bytes: 16 << 20, PerByte: 16 << 10, CPU: time.Second, CPUPerByte: 50 * time.Microsecond}
	checking  = cost.Most{Bytes: 48 << 20, PerByte: 1 << 10, CPU: 2 * time.Second, CPUPerByte: 20 * time.Microsecond}
)

func TestChecksAreBounded(t *testing.T) {
	for _, c := range costly {
		t.Run(c.name, func(t *testing.T) {
			schema, err := Compile(c.schema)
			if err != nil {
				t.Fatal(err)
			}
			body, err := payload.Build("x", time.Unix(0, 0), []byte(c.data))
			if err != nil {
				t.Fatal(err)
			}
			data := payload.DataOf(body)
			checking.Within(t, len(data), func() { err = schema.Validate(t.Context(), data) })
			if bad, ok := errors.AsType[*Error](err); err != nil && !ok {
				t.Errorf("got %T %v", err, err)
			} else if ok && len(bad.Error()) > 2*maxDetailBytes {
				t.Errorf("an error of %d bytes: %.200s…", len(bad.Error()), bad)
			}
		})
	}
}

// What package payload refuses never comes here; if it does, it costs nothing.
func TestNumbersThatCannotBeCarriedAreRefused(t *testing.T) {
	schema, err := Compile(`{"properties":{"n":{"type":"integer","minimum":0,"multipleOf":2},"a":{"uniqueItems":true}}}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []string{"1" + strings.Repeat("0", 1_000_001) + "e-1000001", "1e-1000000", "1E1000000", "1e99999999999999999999", "0e401"} {
		for _, data := range []string{`{"n":` + number + `}`, `{"a":[` + listed(number, 30) + `]}`} {
			cost.Linear.Within(t, len(data), func() {
				bad, ok := errors.AsType[*Error](schema.Validate(t.Context(), []byte(data)))
				if !ok || !strings.Contains(bad.Detail, "exponent") {
					t.Errorf("%.40s: got %v", data, bad)
				}
			})
		}
	}
}

func TestAnAbandonedCheckEnds(t *testing.T) {
	schema, err := Compile(`{"not":{` + strings.Replace(doubling(`{"allOf":[%s,%s]}`, `true`, 30), `,"$defs"`, `},"$defs"`, 1) + `}`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := schema.Validate(ctx, []byte(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := schema.Validate(t.Context(), []byte(`{}`)); !isTooCostly(err) {
		t.Errorf("the next check: got %v", err)
	}
}

func isTooCostly(err error) bool {
	bad, ok := errors.AsType[*Error](err)
	return ok && bad.TooCostly
}

func TestSchemasAreBounded(t *testing.T) {
	nested := func(levels int) string {
		return strings.Repeat(`{"not":`, levels) + `true` + strings.Repeat("}", levels)
	}
	for name, c := range map[string]struct{ schema, detail string }{
		"64 levels":                      {schema: nested(64)},
		"65 levels":                      {schema: nested(65), detail: "64 levels"},
		"levels without end":             {schema: strings.Repeat(`[`, 30_000), detail: "64 levels"},
		"a number that is spelled long":  {schema: `{"minimum":1` + strings.Repeat("0", 1_000) + `e-1000}`, detail: "400 characters"},
		"a number beyond all doubles":    {schema: `{"const":1e1000000}`, detail: "exponent"},
		"a number that no double is":     {schema: `{"maximum":18446744073709551615}`},
		"a pattern of many instructions": {schema: `{"pattern":"` + strings.Repeat("a{1000}", 9) + `"}`, detail: "instructions"},
		"a pattern that is long":         {schema: `{"pattern":"` + strings.Repeat("a", 1025) + `"}`, detail: "longer than 1024 bytes"},
		"a pattern of a thousand":        {schema: `{"pattern":"^[a-z]{1,1000}$"}`},
		"a pattern that is none":         {schema: `{"pattern":"("}`, detail: "regex"},
		"a text that is long":            {schema: `{"title":"` + strings.Repeat("a", MaxSchemaBytes) + `"}`, detail: "bytes"},
		"references without an end":      {schema: `{"$ref":"#"}`, detail: "refers to itself"},
		"faults without number":          {schema: `{"allOf":[` + listed(`{"type":1}`, 5000) + `]}`, detail: "type"},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			compiling.Within(t, min(len(c.schema), 4<<10), func() { _, err = Compile(c.schema) })
			bad, ok := errors.AsType[*Error](err)
			if ok != (c.detail != "") || ok && (bad.Field != FieldSchema || !strings.Contains(bad.Detail, c.detail)) {
				t.Errorf("got %v, want one of %q", err, c.detail)
			}
			if ok && len(bad.Detail) > 2*maxDetailBytes {
				t.Errorf("an error of %d bytes", len(bad.Detail))
			}
		})
	}
}

// Whatever a schema and data are, to compile the one and to check the other costs
// no more than so much.
func FuzzCheckCost(f *testing.F) {
	for _, c := range costly {
		if len(c.schema)+len(c.data) < 4_000 {
			f.Add(c.schema, c.data)
		}
	}
	for _, schema := range agreeing {
		f.Add(schema, `{"a":[1,{"a":1e300},"x"],"b":{"a":{"a":{}}}}`)
	}
	f.Fuzz(func(t *testing.T, schema, data string) {
		var compiled Schema
		var err error
		compiling.Within(t, len(schema), func() { compiled, err = Compile(schema) })
		body, refused := payload.Build("x", time.Unix(0, 0), []byte(data))
		if err != nil || refused != nil {
			return
		}
		checking.Within(t, len(data), func() { _ = compiled.Validate(t.Context(), payload.DataOf(body)) })
	})
}
