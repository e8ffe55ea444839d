// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"sync"

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
)

// round is one run of a unit.
type round struct {
	b      *bench
	chosen []string

	mu        sync.Mutex
	scenarios map[string]*report.Scenario
}

// wants reports whether a scenario was asked for.
func (r *round) wants(name string) bool { return slices.Contains(r.chosen, name) }

// scenario is where the figures of a scenario go.
func (r *round) scenario(name string) *report.Scenario {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.scenarios[name] == nil {
		r.scenarios[name] = report.New(name)
	}
	return r.scenarios[name]
}
