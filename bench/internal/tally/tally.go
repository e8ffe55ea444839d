// SPDX-License-Identifier: Apache-2.0

package tally

// State is what a publisher knows about one event.
type State = byte

// The states. An event that nobody heard about may have been accepted or not,
// and may arrive or not.
const (
	Unsent State = iota
	Unknown
	Refused
	// Skipped was accepted with word that no webhook gets it.
	Skipped
	Accepted
)

// Outcome is what became of events at one endpoint.
type Outcome struct {
	// Accepted is how many the publisher was promised.
	Accepted int
	// Unique is how many arrived, promised or not, and were answered with 2xx.
	Unique int
	// Missing is how many were promised and did not arrive.
	Missing int
	// Duplicates is how many POSTs came after one that was answered with 2xx.
	Duplicates int
	// Unpromised is how many arrived without a promise: the publisher never
	// got an answer, or a refusal after a part was done.
	Unpromised int
}

// Compare looks at events by number: what the publisher knows about each, and
// how often it was received and answered with 2xx. Either may be longer.
func Compare(states []State, received []byte) Outcome {
	var o Outcome
	for i := range max(len(states), len(received)) {
		state, times := Unsent, 0
		if i < len(states) {
			state = states[i]
		}
		if i < len(received) {
			times = int(received[i])
		}
		if state == Accepted {
			o.Accepted++
		}
		switch {
		case times == 0 && state == Accepted:
			o.Missing++
		case times > 0:
			o.Unique++
			o.Duplicates += times - 1
			if state != Accepted {
				o.Unpromised++
			}
		}
	}
	return o
}

// Add returns both outcomes together.
func (o Outcome) Add(other Outcome) Outcome {
	return Outcome{
		Accepted: o.Accepted + other.Accepted, Unique: o.Unique + other.Unique, Missing: o.Missing + other.Missing,
		Duplicates: o.Duplicates + other.Duplicates, Unpromised: o.Unpromised + other.Unpromised,
	}
}
