// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func example() *Report {
	good, bad := New("inline"), New("soak")
	good.Seconds = 61.23456
	good.Set(DeliveriesPerS, 4321.98)
	good.Set(Missing, 0)
	good.Set("fanout5_deliveries_per_s", 0.123456)
	good.AtMost("CPU", 2.5, 3)
	good.AtLeast("deliveries", 0.4, 0.4)
	good.Note("%d rounds", 3)
	bad.Failure = "no time\nleft"
	bad.AtMost("memory", 120, 110)
	return &Report{Scenarios: []*Scenario{good, bad}}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*Scenario)
		want bool
	}{
		{"nothing asked", func(*Scenario) {}, true},
		{"at most, equal", func(s *Scenario) { s.AtMost("x", 3, 3) }, true},
		{"at most, above", func(s *Scenario) { s.AtMost("x", 3.1, 3) }, false},
		{"at least, equal", func(s *Scenario) { s.AtLeast("x", 3, 3) }, true},
		{"at least, below", func(s *Scenario) { s.AtLeast("x", 2.9, 3) }, false},
		{"one of two missed", func(s *Scenario) { s.AtMost("x", 1, 0); s.AtMost("x", 0, 0) }, false},
		{"not a number", func(s *Scenario) { s.AtMost("x", math.NaN(), 3) }, false},
		{"infinite", func(s *Scenario) { s.AtLeast("x", math.Inf(1), 3) }, false},
		{"a bound that is no number", func(s *Scenario) { s.AtLeast("x", 3, math.NaN()) }, false},
		{"failed", func(s *Scenario) { s.Failure = "x" }, false},
	} {
		s := New("x")
		c.set(s)
		if got := s.Reached(); got != c.want {
			t.Errorf("%s: reached is %t, want %t", c.name, got, c.want)
		}
	}
	if example().Reached() {
		t.Error("a report with a scenario that missed something reached everything")
	}
}

func TestLineIsOneObjectWithTheFiguresByScenario(t *testing.T) {
	line, err := example().Line()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(line), "\n") {
		t.Errorf("more than one line: %s", line)
	}
	var got struct {
		Scenarios map[string]map[string]any `json:"scenarios"`
		Reached   bool                      `json:"reached"`
	}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]any{
		"inline": {
			"deliveries_per_s": 4322.0, "missing": 0.0, "fanout5_deliveries_per_s": 0.1235, "reached": true, "seconds": 61.23, "notes": []any{"3 rounds"},
			"must": []any{
				map[string]any{"what": "CPU", "figure": 2.5, "bound": 3.0, "at_least": false, "reached": true},
				map[string]any{"what": "deliveries", "figure": 0.4, "bound": 0.4, "at_least": true, "reached": true},
			},
		},
		"soak": {
			"failure": "no time\nleft", "reached": false, "seconds": 0.0,
			"must": []any{map[string]any{"what": "memory", "figure": 120.0, "bound": 110.0, "at_least": false, "reached": false}},
		},
	}
	if diff := cmp.Diff(want, got.Scenarios); diff != "" {
		t.Error(diff)
	}
	if got.Reached {
		t.Error("reached")
	}
}

func TestPrintSaysWhatWasReachedAndWhatFailed(t *testing.T) {
	var text strings.Builder
	example().Print(&text)
	for _, want := range []string{
		"inline", "4322", "–",
		"reached  CPU: 2.5, at most 3",
		"reached  deliveries: 0.4, at least 0.4",
		"MISSED   memory: 120, at most 110",
		"FAILED   no time",
		"fanout5_deliveries_per_s 0.1235",
		"3 rounds",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
}

func TestNumberKeepsFourDigits(t *testing.T) {
	for value, want := range map[float64]string{
		0: "0", 0.000123456: "0.0001235", 1.5: "1.5", 12.3456: "12.35", 12345.6: "12346", -2.00049: "-2", math.Inf(1): "0",
	} {
		if got := Number(value); got != want {
			t.Errorf("%g: got %s, want %s", value, got, want)
		}
	}
}

func TestFieldFindsTheFirst(t *testing.T) {
	text := "MemTotal:       24576000 kB\nmodel name\t: A CPU\nmodel name\t: another\n"
	if got := machineField(text, "model name"); got != "A CPU" {
		t.Errorf("got %q", got)
	}
	if got := machineKilobytes(machineField(text, "MemTotal")); got != 24576000 {
		t.Errorf("got %d", got)
	}
	if got := machineKilobytes(machineField(text, "Nothing")); got != 0 {
		t.Errorf("got %d", got)
	}
}
