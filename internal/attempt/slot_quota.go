// SPDX-License-Identifier: Apache-2.0

package attempt

// Class sorts webhooks by what is known about how long they hold a slot.
type Class uint8

const (
	// Proven: a success lately and nothing slow since.
	Proven Class = iota
	// Unproven: no success lately and nothing slow either, as after a start.
	Unproven
	// Slow: timed out lately, has an attempt under way for longer than SlowAfter, or
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

// priority is the order in which attempts get slots. Proven webhooks have two:
// those with nothing under way may use every slot, those that already hold one
// only some, so that busy webhooks that begin to hang at once do not shut out the
// rest before they count as slow.
type priority uint8

const (
	priorityProvenIdle priority = iota
	priorityProvenBusy
	priorityUnproven
	prioritySlow
	priorityHanging

	priorities = 5
)

// slotQuota divides a number of slots between classes: all slots of the runner, or
// those of one destination.
type slotQuota struct {
	size int
	// busyLimit is how many slots may be taken for a proven webhook with something in
	// flight to take one more. A quarter of all slots is there for them anyway.
	busyLimit int
	used      [classes]int
}

// newSlotQuota returns a share of which busy webhooks may take so many eighths.
func newSlotQuota(size, eighths int) slotQuota {
	return slotQuota{size: size, busyLimit: max(1, size*eighths/8)}
}

func (s *slotQuota) taken() int { return s.used[Proven] + s.used[Unproven] + s.takenBySlow() }

// takenBySlow is how many slots attempts hold that take long.
func (s *slotQuota) takenBySlow() int { return s.used[Slow] + s.used[Hanging] }

// available returns how many more attempts of a priority may start. A share of any size
// has room for one of each priority when it is empty.
func (s *slotQuota) available(p priority) int {
	free := s.size - s.taken()
	switch p {
	case priorityProvenBusy:
		free = min(free, max(s.eighths(2)-s.used[Proven], s.busyLimit-s.taken()))
	case priorityUnproven:
		free = min(free, s.eighths(2)-s.used[Unproven], s.eighths(6)-s.used[Unproven]-s.takenBySlow())
	case prioritySlow:
		free = min(free, s.eighths(4)-s.takenBySlow(), s.eighths(6)-s.used[Unproven]-s.takenBySlow())
	case priorityHanging:
		free = min(free, s.eighths(1)-s.used[Hanging], s.eighths(4)-s.takenBySlow(), s.eighths(6)-s.used[Unproven]-s.takenBySlow())
	}
	return max(0, free)
}

// eighths is so many eighths of the slots, at least one slot.
func (s *slotQuota) eighths(n int) int { return max(1, s.size*n/8) }
