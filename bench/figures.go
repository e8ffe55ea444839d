// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
)

// figures are what one repetition found, by name.
type figures map[string]float64

// recordFigures takes the median of each figure over repetitions, but the sum of what
// must not happen even once.
func recordFigures(s *report.Scenario, repetitions []figures) {
	all := map[string][]float64{}
	for _, one := range repetitions {
		for name, value := range one {
			all[name] = append(all[name], value)
		}
	}
	for name, values := range all {
		switch name {
		case report.Missing, report.Duplicates:
			var sum float64
			for _, value := range values {
				sum += value
			}
			s.Set(name, sum)
		default:
			s.Set(name, stats.Median(values))
		}
	}
}

// nothingLost is required of every scenario without crashes.
func nothingLost(s *report.Scenario) {
	s.AtMost("deliveries missing", s.Figures[report.Missing], 0)
	s.AtMost("duplicates", s.Figures[report.Duplicates], 0)
}

// add puts figures beside others under a prefix; what must not happen is one
// figure for all.
func (f figures) add(prefix string, others figures) {
	for name, value := range others {
		switch name {
		case report.Missing, report.Duplicates:
			f[name] += value
		default:
			f[prefix+name] = value
		}
	}
}
