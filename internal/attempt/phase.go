// SPDX-License-Identifier: Apache-2.0

package attempt

// Phase is how far the runner is with a delivery.
type Phase uint8

const (
	// None: the runner holds nothing that the cache does not show.
	None Phase = iota
	// Queued: the job waits for its turn, or to be repeated after a loss.
	Queued
	// UnderWay: the attempt is being made.
	UnderWay
	// Finished: the outcome waits to be written.
	Finished
	// Written: the outcome was written; the cache has not caught up.
	Written
)

// String returns the name of the phase.
func (p Phase) String() string {
	switch p {
	case None:
		return "None"
	case Queued:
		return "Queued"
	case UnderWay:
		return "UnderWay"
	case Finished:
		return "Finished"
	case Written:
		return "Written"
	}
	return "Unknown"
}

// State is what the runner knows about a delivery.
type State struct {
	Phase Phase
	// Attempts is how many attempts are known to have been made. A cached object
	// that shows fewer is stale. It can stay set for a while in phase None.
	Attempts int
	// Outcome is set in phase Finished only.
	Outcome Outcome
}
