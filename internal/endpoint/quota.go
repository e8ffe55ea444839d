// SPDX-License-Identifier: Apache-2.0

package endpoint

// Priority is the order in which attempts get slots. Healthy endpoints have two: those with nothing under way may use
// every slot, those that already hold one only some, so that busy endpoints that begin to hang at once do not shut out
// the rest before they count as slow.
type Priority uint8

const (
	// PriorityHealthyIdle is that of a healthy endpoint with nothing under way.
	PriorityHealthyIdle Priority = iota
	// PriorityHealthyBusy is that of a healthy endpoint with an attempt under way.
	PriorityHealthyBusy
	// PriorityUnproven is that of an unproven endpoint.
	PriorityUnproven
	// PrioritySlow is that of a slow endpoint.
	PrioritySlow
	// PriorityHanging is that of a hanging endpoint.
	PriorityHanging

	// Priorities is the number of priorities.
	Priorities = 5
)

// Shares divide a number of slots between states.
type Shares struct {
	Total int
	// Healthy is how many healthy endpoints may take; Reserved how many nobody else can take from them.
	Healthy, Reserved int
	// Busy is how many slots may be taken, beyond those reserved, for a busy healthy endpoint to take one more.
	Busy int
	// Unproven, Slow and Hanging are how many such endpoints may take: Slow is for slow and hanging ones together,
	// Uncertain for all three.
	Unproven, Slow, Hanging, Uncertain int
}

// NewShares divides slots by eighths, at least one slot each: two for unproven endpoints, four for slow and hanging
// ones, of which one for the hanging, six for these three together.
func NewShares(slots int) Shares {
	return Shares{
		Total: slots, Healthy: slots, Reserved: eighthsOfSlots(slots, 2), Busy: slots,
		Unproven: eighthsOfSlots(slots, 2), Slow: eighthsOfSlots(slots, 4), Hanging: eighthsOfSlots(slots, 1), Uncertain: eighthsOfSlots(slots, 6),
	}
}

// WithBusy changes the share of busy healthy endpoints to so many eighths.
func (s Shares) WithBusy(n int) Shares {
	s.Busy = eighthsOfSlots(s.Total, n)
	return s
}

func eighthsOfSlots(slots, n int) int { return max(1, slots*n/8) }

// Quota counts the slots that attempts to endpoints of each state hold.
type Quota struct {
	shares *Shares
	used   [States]int
}

// NewQuota returns a Quota of which no slot is taken.
func NewQuota(shares *Shares) Quota { return Quota{shares: shares} }

// Shares are how the slots are divided.
func (q *Quota) Shares() *Shares { return q.shares }

// Take takes a slot.
func (q *Quota) Take(s State) { q.used[s]++ }

// Return returns one.
func (q *Quota) Return(s State) { q.used[s]-- }

// Move moves one to another state.
func (q *Quota) Move(from, to State) {
	q.used[from]--
	q.used[to]++
}

// Used is how many slots are taken, by state.
func (q *Quota) Used() [States]int { return q.used }

// Taken is how many slots are taken.
func (q *Quota) Taken() int { return q.used[Healthy] + q.takenByUncertain() }

// TakenBySlow is how many slots attempts hold that take long.
func (q *Quota) TakenBySlow() int { return q.used[Slow] + q.used[Hanging] }

func (q *Quota) takenByUncertain() int { return q.used[Unproven] + q.TakenBySlow() }

// Available returns how many more attempts of a priority may start. Shares of any size have room for one of each
// priority when nothing is taken.
func (q *Quota) Available(p Priority) int {
	s, taken := q.shares, q.Taken()
	free := s.Total - taken
	switch p {
	case PriorityHealthyIdle:
		free = min(free, s.Healthy-q.used[Healthy])
	case PriorityHealthyBusy:
		free = min(free, s.Healthy-q.used[Healthy], max(s.Reserved-q.used[Healthy], s.Busy-taken))
	case PriorityUnproven:
		free = min(free, s.Unproven-q.used[Unproven], s.Uncertain-q.takenByUncertain())
	case PrioritySlow:
		free = min(free, s.Slow-q.TakenBySlow(), s.Uncertain-q.takenByUncertain())
	case PriorityHanging:
		free = min(free, s.Hanging-q.used[Hanging], s.Slow-q.TakenBySlow(), s.Uncertain-q.takenByUncertain())
	}
	return max(0, free)
}

// admits reports whether each share that an attempt to an endpoint in a state uses leaves one more slot to a namespace
// that holds own.
func (q *Quota) admits(s State, own [States]int) bool {
	shares, mine := q.shares, Quota{used: own}
	if s == Healthy {
		return AdmitsAnother(shares.Healthy, q.used[Healthy], own[Healthy])
	}
	if !AdmitsAnother(shares.Uncertain, q.takenByUncertain(), mine.takenByUncertain()) {
		return false
	}
	if s == Unproven {
		return AdmitsAnother(shares.Unproven, q.used[Unproven], own[Unproven])
	}
	return AdmitsAnother(shares.Slow, q.TakenBySlow(), mine.TakenBySlow()) &&
		(s == Slow || AdmitsAnother(shares.Hanging, q.used[Hanging], own[Hanging]))
}

// AdmitsAnother reports whether a user who holds own of the size slots, of which total are taken, may take one more. A
// large bound alone isolates nothing: one namespace could use all of it. Beyond three quarters, a namespace gets another
// slot only if it has no more afterwards than are left free.
func AdmitsAnother(size, total, own int) bool {
	return total < size && (total < size*3/4 || own < size-total)
}
