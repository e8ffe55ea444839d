// SPDX-License-Identifier: Apache-2.0

package payload_test

import (
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/test/cost"
)

// costly are inputs that cost too much in one way or another of looking at them.
func costly() []string {
	digits, levels := strings.Repeat("0", 20_000), strings.Repeat("[", 5_000)
	return []string{
		`{"n":1` + digits + `1e-20001}`, `{"n":1e-1000000}`, `{"n":1E999999999999999999999}`, `{"n":0.` + digits + `1}`, `{"n":[` + strings.Repeat("1e308,", 4_000) + `1]}`,
		`{"a":` + levels + strings.Repeat("]", 5_000) + `}`, `{"a":` + levels, strings.Repeat(`{"a":`, 5_000), levels, `[` + strings.Repeat(`{},`, 8_000) + `{}]`,
		`{` + strings.Repeat(`"9":{`, 60) + numbered(2_000) + strings.Repeat("}", 61), `{` + numbered(4_000) + `}`, `{` + strings.Repeat(`"a":1,`, 4_000) + `"a":1}`,
		`{"s":"` + strings.Repeat(`\u0000`, 4_000) + `"}`, `{"s":"` + strings.Repeat(`\ud83d\ude00`, 2_000) + `\ud83d"}`, `{"` + strings.Repeat("k", 20_000) + `":-0}`,
		`{"a":"` + strings.Repeat("\xff", 20_000) + `"}`, strings.Repeat(" ", 40_000) + `{}`, `{"a":[` + strings.Repeat(" ", 40_000), `{}` + strings.Repeat(" {}", 10_000),
	}
}

// numbered are members whose keys are numbers that descend, which JavaScript turns
// round.
func numbered(n int) string {
	var b strings.Builder
	for i := n; i > 0; i-- {
		b.WriteString(`"` + strings.Repeat("1", 1+i%9) + `":`)
		b.WriteString(`0,`)
	}
	return b.String() + `"a":0`
}

// Whatever the bytes are, to look at them costs time and memory in proportion to
// their number.
func FuzzCost(f *testing.F) {
	for _, seed := range append(costly(), seeds...) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		cost.Linear.Within(t, len(text), func() { _, _ = payload.Build("a", time.Unix(0, 0), text) })
		cost.Linear.Within(t, len(text), func() { _, _ = payload.Check(text) })
		cost.Linear.Within(t, len(text), func() {
			if members, err := payload.Members(text, "body"); err == nil {
				for _, member := range members {
					_ = member.IsNull()
					_, _ = member.Text(payload.InvalidEventID)
				}
			}
		})
		cost.Linear.Within(t, len(text), func() { _, _ = payload.Items(text, "body", 100) })
		cost.Linear.Within(t, len(text), func() { _ = payload.IsShallow(text) })
		cost.Linear.Within(t, len(text), func() {
			_, _ = payload.ParseTimestamp(string(text))
			_ = payload.ValidateEventID(string(text))
			_ = payload.ValidateEventType(string(text))
		})
	})
}
