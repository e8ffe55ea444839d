// SPDX-License-Identifier: Apache-2.0

package attempt

// Class sorts webhooks by what is known about how long they hold a slot.
type Class uint8

const (
	// Proven: a success lately and nothing slow since.
	Proven Class = iota
	// Unproven: no success lately and nothing slow either, as after a start.
	Unproven
	// Slow: timed out lately, has an attempt out for longer than SlowAfter, or
	// usually takes longer than that to answer.
	Slow
	// Hanging: slow, and the latest attempts have all timed out.
	Hanging

	classes = 4
)

// String returns the name of the class.
func (c Class) String() string {
	switch c {
	case Proven:
		return "Proven"
	case Unproven:
		return "Unproven"
	case Slow:
		return "Slow"
	case Hanging:
		return "Hanging"
	}
	return "Unknown"
}

// band is what a webhook's next attempt competes in. Proven webhooks have two:
// those with nothing in flight may use every slot, those that already hold one
// only some, so that busy ones that all begin to hang at once do not shut out
// the rest before they are known to be slow.
type band uint8

const (
	provenIdle band = iota
	provenBusy
	unproven
	slow
	hanging

	bands = 5
)

// share divides a number of slots between classes: all slots of the runner, or
// those of one destination.
type share struct {
	size int
	// busy is how many slots may be taken for a proven webhook with something in
	// flight to take one more. A quarter of all slots is there for them anyway.
	busy int
	used [classes]int
}

// newShare returns a share of which busy webhooks may take so many eighths.
func newShare(size, eighths int) share {
	return share{size: size, busy: max(1, size*eighths/8)}
}

func (s *share) total() int { return s.used[Proven] + s.used[Unproven] + s.slow() }

// slow is how many slots attempts hold that take long.
func (s *share) slow() int { return s.used[Slow] + s.used[Hanging] }

// room returns how many more attempts of a band may start. A share of any size
// has room for one of each band when it is empty.
func (s *share) room(b band) int {
	free := s.size - s.total()
	switch b {
	case provenBusy:
		free = min(free, max(s.part(2)-s.used[Proven], s.busy-s.total()))
	case unproven:
		free = min(free, s.part(2)-s.used[Unproven], s.part(6)-s.used[Unproven]-s.slow())
	case slow:
		free = min(free, s.part(4)-s.slow(), s.part(6)-s.used[Unproven]-s.slow())
	case hanging:
		free = min(free, s.part(1)-s.used[Hanging], s.part(4)-s.slow(), s.part(6)-s.used[Unproven]-s.slow())
	}
	return max(0, free)
}

// part is that many eighths of the slots, at least one slot.
func (s *share) part(eighths int) int { return max(1, s.size*eighths/8) }
