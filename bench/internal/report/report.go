// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Names of the figures that several scenarios have.
const (
	DeliveriesPerS   = "deliveries_per_s"
	CPUPerDelivery   = "cpu_ms_per_delivery"
	P50              = "p50_ms"
	P99              = "p99_ms"
	Missing          = "missing"
	Duplicates       = "duplicates"
	APIWrites        = "api_writes_per_delivery"
	columnsOfTheRest = 3
)

// Report is what a run of the benchmark found.
type Report struct {
	Machine   Machine
	Scenarios []*Scenario
}

// Reached reports whether all scenarios reached what they must.
func (r *Report) Reached() bool {
	return !slices.ContainsFunc(r.Scenarios, func(s *Scenario) bool { return !s.Reached() })
}

// Line is the report as one JSON object on one line.
func (r *Report) Line() ([]byte, error) {
	byName := map[string]*Scenario{}
	for _, s := range r.Scenarios {
		byName[s.Name] = s
	}
	return json.Marshal(map[string]any{"scenarios": byName, "machine": r.Machine, "reached": r.Reached()})
}

// reportColumns are the figures of the table; the others follow below it.
func reportColumns() []string {
	return []string{DeliveriesPerS, CPUPerDelivery, P50, P99, APIWrites, Missing, Duplicates}
}

// Print writes the table, the other figures and the verdicts.
func (r *Report) Print(to io.Writer) {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "scenario\t%s\tseconds\t\n", strings.Join(reportColumns(), "\t"))
	for _, s := range r.Scenarios {
		cells := []string{s.Name}
		for _, name := range reportColumns() {
			cell := "–"
			if value, ok := s.Figures[name]; ok {
				cell = Number(value)
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(table, "%s\t%s\t\n", strings.Join(cells, "\t"), Number(s.Seconds))
	}
	_ = table.Flush() // to a terminal or a buffer
	for _, s := range r.Scenarios {
		fmt.Fprintln(to)
		s.print(to)
	}
}
