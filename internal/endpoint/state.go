// SPDX-License-Identifier: Apache-2.0

package endpoint

// State sorts endpoints by how long an attempt to them is likely to hold a slot.
type State uint8

const (
	// Healthy: a success lately, and nothing slow since.
	Healthy State = iota
	// Unproven: no success lately and nothing slow either, as after a start.
	Unproven
	// Slow: timed out lately, has an attempt under way for longer than Rules.SlowAfter, or usually takes longer than that
	// to answer.
	Slow
	// Hanging: the latest attempts have all timed out.
	Hanging

	// States is the number of states.
	States = 4
)

// String returns the name of the state.
func (s State) String() string {
	switch s {
	case Healthy:
		return "Healthy"
	case Unproven:
		return "Unproven"
	case Slow:
		return "Slow"
	case Hanging:
		return "Hanging"
	}
	return "Unknown"
}

// IsSlow reports whether attempts take long.
func (s State) IsSlow() bool { return s == Slow || s == Hanging }

// Priority returns the priority of an attempt to an endpoint in a state.
func (s State) Priority(busy bool) Priority {
	switch {
	case s == Slow:
		return PrioritySlow
	case s == Hanging:
		return PriorityHanging
	case s == Unproven:
		return PriorityUnproven
	case busy:
		return PriorityHealthyBusy
	}
	return PriorityHealthyIdle
}
