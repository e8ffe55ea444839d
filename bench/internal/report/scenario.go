// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// Requirement is one thing that a scenario must reach.
type Requirement struct {
	// What says it in words, for example "CPU per delivery, times the forwarder's".
	What string `json:"what"`
	// Figure is what was found, Bound what is allowed.
	Figure float64 `json:"figure"`
	Bound  float64 `json:"bound"`
	// AtLeast: Figure must not be below Bound; else not above.
	AtLeast bool `json:"at_least"`
	// Reached is the verdict.
	Reached bool `json:"reached"`
}

// Scenario is what one scenario found.
type Scenario struct {
	Name string
	// Figures are by name; a unit is part of the name.
	Figures map[string]float64
	// Must are the requirements.
	Must []Requirement
	// Notes are for people.
	Notes []string
	// Failure says why there are no figures, or not all.
	Failure string
	// Seconds is how long it took.
	Seconds float64
}

// New makes an empty Scenario.
func New(name string) *Scenario {
	return &Scenario{Name: name, Figures: map[string]float64{}}
}

// Set records a figure.
func (s *Scenario) Set(name string, value float64) { s.Figures[name] = round(value) }

// Note records a sentence.
func (s *Scenario) Note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// AtMost records that a figure must not be above a bound.
func (s *Scenario) AtMost(what string, figure, bound float64) {
	s.must(Requirement{What: what, Figure: figure, Bound: bound, Reached: figure <= bound})
}

// AtLeast records that a figure must not be below a bound.
func (s *Scenario) AtLeast(what string, figure, bound float64) {
	s.must(Requirement{What: what, Figure: figure, Bound: bound, AtLeast: true, Reached: figure >= bound})
}

// must drops what is not a number: nothing divided by nothing reaches nothing,
// and JSON could not carry it.
func (s *Scenario) must(r Requirement) {
	if math.IsNaN(r.Figure) || math.IsInf(r.Figure, 0) || math.IsNaN(r.Bound) || math.IsInf(r.Bound, 0) {
		r = Requirement{What: r.What + " (not measured)", AtLeast: r.AtLeast}
	}
	r.Figure, r.Bound = round(r.Figure), round(r.Bound)
	s.Must = append(s.Must, r)
}

// Reached reports whether the scenario ran to its end and reached all it must.
func (s *Scenario) Reached() bool {
	return s.Failure == "" && !slices.ContainsFunc(s.Must, func(r Requirement) bool { return !r.Reached })
}

// MarshalJSON puts the figures beside the verdict.
func (s *Scenario) MarshalJSON() ([]byte, error) {
	all := map[string]any{"reached": s.Reached(), "seconds": round(s.Seconds)}
	for name, value := range s.Figures {
		all[name] = value
	}
	if len(s.Must) > 0 {
		all["must"] = s.Must
	}
	if len(s.Notes) > 0 {
		all["notes"] = s.Notes
	}
	if s.Failure != "" {
		all["failure"] = s.Failure
	}
	return json.Marshal(all)
}

func (s *Scenario) print(to io.Writer) {
	fmt.Fprintln(to, s.Name)
	if s.Failure != "" {
		fmt.Fprintf(to, "  FAILED   %s\n", strings.ReplaceAll(s.Failure, "\n", "\n           "))
	}
	for _, m := range s.Must {
		word, than := "reached", "at most"
		if !m.Reached {
			word = "MISSED "
		}
		if m.AtLeast {
			than = "at least"
		}
		fmt.Fprintf(to, "  %s  %s: %s, %s %s\n", word, m.What, Number(m.Figure), than, Number(m.Bound))
	}
	var rest []string
	for _, name := range slices.Sorted(maps.Keys(s.Figures)) {
		if !slices.Contains(reportColumns(), name) {
			rest = append(rest, name+" "+Number(s.Figures[name]))
		}
	}
	for line := range slices.Chunk(rest, columnsOfTheRest) {
		fmt.Fprintf(to, "           %s\n", strings.Join(line, ", "))
	}
	for _, note := range s.Notes {
		fmt.Fprintf(to, "           %s\n", note)
	}
}
