// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
	"bbmcp.quietstack.com/webhooks/bench/internal/tally"
)

// Result is what publishers were answered.
type Result struct {
	// States are by number of the event.
	States []tally.State `json:"states"`
	// Codes count answers by HTTP status; 0 is none.
	Codes map[int]int `json:"codes"`
	// Deliveries and Skipped count what accepted events were answered.
	Deliveries int `json:"deliveries"`
	Skipped    int `json:"skipped"`
	// Inline counts deliveries that were answered as succeeded.
	Inline int `json:"inline"`
	// Repeats counts requests after the first for the same event.
	Repeats int `json:"repeats"`
	// NoRetryAfter counts 429s and 503s without that header.
	NoRetryAfter int `json:"noRetryAfter"`
	// Late counts events that were sent more than a second after they were due,
	// because all Publishers waited for answers.
	Late int `json:"late,omitempty"`
	// Error is one of the errors, if there were any.
	Error string `json:"error,omitempty"`
	// Answer is from request to answer, of accepted events.
	Answer stats.Latency `json:"answer"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// Accepted counts the events that were.
func (r *Result) Accepted() int { return r.count(tally.Accepted) + r.count(tally.Skipped) }

// Sent counts all events.
func (r *Result) Sent() int { return len(r.States) - r.count(tally.Unsent) }

func (r *Result) count(state tally.State) int {
	n := 0
	for _, one := range r.States {
		if one == state {
			n++
		}
	}
	return n
}
