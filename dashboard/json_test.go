// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/test/cost"
)

func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

func TestIndentJSON(t *testing.T) {
	long := `{"a":"` + strings.Repeat("x", maxShownJSON) + `"}`
	wide := "[" + nested(62) + strings.Repeat(`,`+nested(62), 60) + "]"
	for name, c := range map[string]struct{ text, want string }{
		"an object":                         {`{"a":[1,{"b":"c,d{"}],"e":{},"f":[ ]}`, "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"c,d{\"\n    }\n  ],\n  \"e\": {},\n  \"f\": []\n}"},
		"nothing":                           {"", ""},
		"null":                              {"null", ""},
		"a number":                          {"1", "1"},
		"no JSON":                           {`{"a":`, `{"a":`},
		"a quote that is escaped":           {`["\"[[["]`, "[\n  \"\\\"[[[\"\n]"},
		"64 levels":                         {nested(64), indented(t, nested(64))},
		"65 levels stay as they are":        {nested(65), nested(65)},
		"levels without end stay so":        {nested(8191), nested(8191)},
		"what would be too long stays so":   {wide, wide},
		"what is too long anyway stays so":  {long, long},
		"levels that do not end stay so":    {strings.Repeat("[", 100_000), strings.Repeat("[", 100_000)},
		"an object deep in a list stays so": {`[` + strings.Repeat(`{"a":`, 65) + `1` + strings.Repeat("}", 65) + `]`, `[` + strings.Repeat(`{"a":`, 65) + `1` + strings.Repeat("}", 65) + `]`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := indentJSON([]byte(c.text)); got != c.want {
				t.Errorf("got %.200s, want %.200s", got, c.want)
			}
		})
	}
}

func indented(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What is shown costs memory in proportion to the text, and to what may be shown.
func FuzzIndentJSONIsBounded(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2,{"b":null}]}`, nested(64), nested(8191), strings.Repeat("[", 70_000), `"\\\"`, "[" + strings.Repeat("1,", 30_000) + "1]", " [ ] ", `{"a":"` + "\xff" + `"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got string
		most := cost.Most{Bytes: 8 * maxShownJSON, PerByte: 4, CPU: 50 * time.Millisecond, CPUPerByte: time.Microsecond}
		most.Within(t, len(text), func() { got = indentJSON(text) })
		if len(got) > max(len(text), maxShownJSON) {
			t.Errorf("%d bytes of text are shown as %d", len(text), len(got))
		}
		var compact, again bytes.Buffer
		if json.Compact(&compact, text) != nil || string(text) == "null" {
			return
		}
		if err := json.Compact(&again, []byte(got)); err != nil || !bytes.Equal(compact.Bytes(), again.Bytes()) {
			t.Errorf("%s is shown as %s", text, got)
		}
	})
}

func TestPageOfTheCatalogueIsBounded(t *testing.T) {
	text := []byte(`{"a":[` + strings.Repeat(`"0123456789",`, 4000) + `1]}`)
	left, shown := maxShownCatalogue, 0
	for range 1000 {
		part := limitJSON(text, &left)
		shown += len(part.Text)
		if part.Text == "" && part.Left != len(text) || part.Text != "" && part.Left != 0 && len(part.Text) > maxShownPayload {
			t.Fatalf("%d bytes are shown and %d left of %d", len(part.Text), part.Left, len(text))
		}
	}
	if shown > maxShownCatalogue || shown < maxShownCatalogue/2 {
		t.Errorf("%d bytes are shown", shown)
	}
}

// A page costs time and memory in proportion to what it shows, which is bounded.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, nested(64), nested(8191), strings.Repeat("\u202e", 20_000), strings.Repeat("e\u0301", 20_000), strings.Repeat("<&\"", 20_000), "[" + strings.Repeat("1,", 100_000) + "1]"} {
		f.Add(seed)
	}
	loaded, err := loadAssets()
	if err != nil {
		f.Fatal(err)
	}
	pages, err := parsePages(loaded, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	most := cost.Most{Bytes: 48 << 20, PerByte: 64, CPU: 2 * time.Second, CPUPerByte: 5 * time.Microsecond}
	f.Fuzz(func(t *testing.T, text string) {
		most.Within(t, len(text), func() {
			room := maxShownCatalogue
			row := eventTypeRow{EventType: rest.EventType{Type: "a", Description: &text}, ShownExample: limitJSON([]byte(text), &room), ShownSchema: limitJSON([]byte(text), &room)}
			if err := pages["event-types"].ExecuteTemplate(io.Discard, "layout.html", layout{Body: eventTypesView{Types: []eventTypeRow{row}}}); err != nil {
				t.Error(err)
			}
		})
		most.Within(t, len(text), func() {
			delivery := &Delivery{DeliveryDetail: rest.DeliveryDetail{Payload: text}}
			view := deliveryView{Delivery: delivery, State: rest.DeliveryFailed}
			view.Body, view.BodyLeft = truncateText(text, maxShownPayload)
			view.Pretty = indentJSON([]byte(text))
			if err := pages["delivery"].ExecuteTemplate(io.Discard, "layout.html", layout{Body: view}); err != nil {
				t.Error(err)
			}
		})
	})
}
