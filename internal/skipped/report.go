// SPDX-License-Identifier: Apache-2.0

package skipped

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// ConfigMap is the usual name of the object that holds the reports, a key for each
// gateway.
const ConfigMap = "bbmcp-skipped"

const (
	// MaxWebhooks is how many webhooks one report tells of: a dozen gateways whose
	// webhooks have the longest of names fill no more than the 1 MiB that an object may
	// have. A gateway that has more to tell does so with the next one.
	MaxWebhooks = 100
	// MaxBytes is how long the text of one report is at most.
	MaxBytes = 64 << 10
	// maxCount is more than a gateway ever skips between two reports. Sums stay far from
	// where they would be negative.
	maxCount = 1 << 40
)

// Webhook is one Webhook of a report.
type Webhook struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
}

// Count is how many deliveries a webhook did not get.
type Count struct {
	// Full because its backlog took no more, Disabled because it is disabled.
	Full     int64 `json:"full,omitempty"`
	Disabled int64 `json:"disabled,omitempty"`
	// Last is when that last happened.
	Last time.Time `json:"last"`
}

// Plus is both counts together.
func (c Count) Plus(other Count) Count {
	c.Full += other.Full
	c.Disabled += other.Disabled
	if other.Last.After(c.Last) {
		c.Last = other.Last
	}
	return c
}

// Report is what one gateway has to tell, or that the manager has taken it.
type Report struct {
	// Sequence grows with each version of a gateway's report: so both sides know what
	// became of a write whose answer was lost.
	Sequence int64
	// Begun is the Sequence with which the report began, empty: the counts of the one
	// before had been taken.
	Begun int64
	// Counts by webhook; none once they are taken.
	Counts map[Webhook]Count
	// Taken is when the manager took the report of this Sequence; zero: it has not.
	Taken time.Time
}

// entry is one webhook of a report as text.
type entry struct {
	Webhook
	Count
}

type text struct {
	Sequence int64     `json:"sequence"`
	Begun    int64     `json:"begun,omitempty"`
	Taken    time.Time `json:"taken,omitzero"`
	Webhooks []entry   `json:"webhooks,omitempty"`
}

// Encode is a report as text, in the same order each time.
func Encode(r Report) string {
	out := text{Sequence: r.Sequence, Begun: r.Begun, Taken: r.Taken}
	for _, webhook := range slices.SortedFunc(maps.Keys(r.Counts), func(a, b Webhook) int {
		return slices.Compare([]string{a.Namespace, a.Name, string(a.UID)}, []string{b.Namespace, b.Name, string(b.UID)})
	}) {
		out.Webhooks = append(out.Webhooks, entry{webhook, r.Counts[webhook]})
	}
	encoded, _ := json.Marshal(out) // of strings, numbers and times of this process
	return string(encoded)
}

// Decode reads a report.
func Decode(value string) (Report, error) {
	if len(value) > MaxBytes {
		return Report{}, fmt.Errorf("report of skipped deliveries: %d bytes, at most %d may be", len(value), MaxBytes)
	}
	var in text
	if err := json.Unmarshal([]byte(value), &in); err != nil {
		return Report{}, fmt.Errorf("report of skipped deliveries: %w", err)
	}
	r := Report{Sequence: in.Sequence, Begun: in.Begun, Taken: in.Taken, Counts: make(map[Webhook]Count, len(in.Webhooks))}
	for _, each := range in.Webhooks {
		if min(each.Full, each.Disabled) < 0 || max(each.Full, each.Disabled) > maxCount {
			return Report{}, fmt.Errorf("report of skipped deliveries: the counts of webhook %s/%s are not between 0 and %d", each.Namespace, each.Name, int64(maxCount))
		}
		r.Counts[each.Webhook] = r.Counts[each.Webhook].Plus(each.Count)
	}
	return r, nil
}
