// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/event"
)

// Spec says what to publish.
type Spec struct {
	// URL takes the POSTs.
	URL string `json:"url"`
	// Token is the publisher's.
	Token string `json:"token,omitempty"`
	// Prefer is the header of that name; empty: none.
	Prefer string `json:"prefer,omitempty"`
	// Types are used in turn.
	Types []string `json:"types"`
	// PayloadBytes is the size of what receivers get.
	PayloadBytes int `json:"payloadBytes"`
	// Run marks the events; see package event.
	Run int `json:"run"`
	// Publishers publish one event after the other; with a Rate, it is how many
	// events may be waiting for their answer.
	Publishers int `json:"publishers"`
	// Rate is events a second, sent when they are due, whatever became of those
	// before; 0: as fast as the answers come.
	Rate float64 `json:"rate,omitempty"`
	// Duration ends the run.
	Duration time.Duration `json:"duration"`
	// Count ends it earlier; 0: does not.
	Count int `json:"count,omitempty"`
	// Keys gives every event an Idempotency-Key.
	Keys bool `json:"keys,omitempty"`
	// RepeatFor is how long an event is published again, with the same key,
	// until it is accepted; 0: not at all.
	RepeatFor time.Duration `json:"repeatFor,omitempty"`
	// Outstanding holds publishing back while so many deliveries that were
	// accepted have not arrived at the Class of the Sink; 0: does not.
	Outstanding int    `json:"outstanding,omitempty"`
	Sink        string `json:"sink,omitempty"`
	Class       string `json:"class,omitempty"`
}

func (s *Spec) check() error {
	switch {
	case len(s.Types) == 0:
		return errors.New("load: no types")
	case s.Publishers < 1:
		return errors.New("load: no publishers")
	case s.Run < 0 || s.Run > event.MaxRun:
		return errors.New("load: the run is out of range")
	case s.RepeatFor > 0 && !s.Keys:
		return errors.New("load: only events with keys may be repeated")
	case s.Duration <= 0:
		return errors.New("load: no duration")
	}
	return nil
}
