// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// samples are durations of one kind.
type samples []time.Duration

// at is a quantile; 1 is the largest.
func (s samples) at(quantile float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(len(sorted)-1, int(quantile*float64(len(sorted))))]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// figure is one number of a row; its unit is part of its name.
type figure struct {
	name  string
	value float64
}

type row struct {
	scenario, name string
	load           string // average of the minute when it was measured
	figures        []figure
}

type verdict struct {
	Scenario string `json:"scenario"`
	Reached  bool   `json:"reached"`
	Text     string `json:"text"`
}

type report struct {
	rows     []row
	verdicts []verdict
}

func newReport() *report { return &report{} }

func (r *report) add(scenario, name string, figures ...figure) {
	for i := range figures {
		figures[i].value = round(figures[i].value)
	}
	r.rows = append(r.rows, row{scenario, name, loadAverage(), figures})
}

func (r *report) judge(scenario string, reached bool, format string, args ...any) {
	r.verdicts = append(r.verdicts, verdict{scenario, reached, fmt.Sprintf(format, args...)})
}

func (r *report) fail(scenario string, err error) { r.judge(scenario, false, "FAILED: %v", err) }

// round keeps three digits.
func round(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2)
	if unit >= 1 {
		return math.Round(v)
	}
	return math.Round(v/unit) / math.Round(1/unit)
}

// print writes a table for each set of figures, the verdicts, and one line of JSON.
func (r *report) print(to io.Writer) error {
	table, heading := tabwriter.NewWriter(to, 2, 0, 2, ' ', 0), ""
	found := map[string]map[string]map[string]float64{}
	for _, row := range r.rows {
		names := []string{row.scenario, "load"}
		cells := []string{row.name, "[" + row.load + "]"}
		for _, f := range row.figures {
			names, cells = append(names, f.name), append(cells, fmt.Sprintf("%.6g", f.value))
		}
		if next := strings.Join(names, "\t"); next != heading {
			heading = next
			fmt.Fprintf(table, "\n%s\n", heading)
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
		if found[row.scenario] == nil {
			found[row.scenario] = map[string]map[string]float64{}
		}
		values := map[string]float64{}
		for _, f := range row.figures {
			values[strings.ReplaceAll(f.name, " ", "_")] = f.value
		}
		found[row.scenario][row.name] = values
	}
	if err := table.Flush(); err != nil {
		return err
	}
	missed := false
	fmt.Fprintln(to)
	for _, v := range r.verdicts {
		word := "reached"
		if !v.Reached {
			word, missed = "MISSED", true
		}
		fmt.Fprintf(to, "%-12s  %-7s  %s\n", v.Scenario, word, v.Text)
	}
	line, err := json.Marshal(map[string]any{"scenarios": found, "verdicts": r.verdicts})
	if err != nil {
		return err
	}
	fmt.Fprintf(to, "\n%s\n", line)
	if missed {
		return errMissed
	}
	return nil
}
