// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
)

// Read reads a report back from the last line of a file, as the benchmark
// printed it.
func Read(file string) (*Report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	r, err := Parse(lines[len(lines)-1])
	if err != nil {
		return nil, fmt.Errorf("the last line of %s: %w", file, err)
	}
	return r, nil
}

// Parse reads what [Report.Line] wrote.
func Parse(line []byte) (*Report, error) {
	var whole struct {
		Scenarios map[string]map[string]json.RawMessage `json:"scenarios"`
		Machine   Machine                               `json:"machine"`
	}
	if err := json.Unmarshal(line, &whole); err != nil {
		return nil, err
	}
	r := &Report{Machine: whole.Machine}
	for _, name := range slices.Sorted(maps.Keys(whole.Scenarios)) {
		s := New(name)
		for member, value := range whole.Scenarios[name] {
			var err error
			switch member {
			case "reached": // follows from the others
			case "seconds":
				err = json.Unmarshal(value, &s.Seconds)
			case "must":
				err = json.Unmarshal(value, &s.Must)
			case "notes":
				err = json.Unmarshal(value, &s.Notes)
			case "failure":
				err = json.Unmarshal(value, &s.Failure)
			default:
				var figure float64
				err = json.Unmarshal(value, &figure)
				s.Figures[member] = figure
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, member, err)
			}
		}
		r.Scenarios = append(r.Scenarios, s)
	}
	return r, nil
}
