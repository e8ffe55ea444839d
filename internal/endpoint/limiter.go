// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"container/list"
	"math"
	"time"
)

// Refusal is the reason why an endpoint gets no attempt.
type Refusal uint8

const (
	// Granted: it gets one.
	Granted Refusal = iota
	// CircuitOpen: it was slow, failed, or asked for a pause.
	CircuitOpen
	// Full: no slot is free.
	Full
)

// Limits are the bounds of a Limiter.
type Limits struct {
	Rules

	// Slots is how many attempts to healthy and prompt endpoints may be under way. All others share half as many in
	// addition, so that an endpoint that hangs takes no slot from one that answers.
	Slots int
	// PerDestination is how many attempts to one destination may be under way, whatever the state of the endpoints.
	PerDestination int
}

// Limiter bounds the attempts under way where each is wanted at once or not at all. Namespaces have a share of every
// bound that they use together; see AdmitsAnother. It is not safe for concurrent use.
type Limiter struct {
	rules             Rules
	shares            Shares
	destinationShares Shares

	slots        Quota
	namespaces   map[string]*namespaceSlots
	destinations map[string]*destinationSlots
	recent       list.List // of *Slot: attempts under way that do not count as slow, oldest first
	queue        sharedWaitQueue
}

// Endpoint is the endpoint of one webhook in a Limiter.
type Endpoint struct {
	Tracker

	// Revision is that of url and signing secret: another revision is another endpoint.
	Revision    string
	namespace   *namespaceSlots
	destination *destinationSlots
	queue       list.List // of *Waiter
}

// Slot is the permission for one attempt under way.
type Slot struct {
	Endpoint *Endpoint
	// Start is when it was acquired.
	Start time.Time

	attempt     Attempt
	destination *destinationSlots
	state       State         // whose share it is of
	recent      *list.Element // in Limiter.recent, unless slow
}

// namespaceSlots are the slots that attempts of one namespace hold.
type namespaceSlots struct {
	name      string
	used      [States]int
	endpoints int
}

type destinationSlots struct {
	address     string
	slots       Quota
	byNamespace map[string][States]int // attempts under way
	endpoints   int
}

// NewLimiter returns a Limiter without endpoints.
func NewLimiter(limits Limits) *Limiter {
	half := max(1, limits.Slots/2)
	l := &Limiter{
		rules: limits.Rules,
		shares: Shares{
			Total: math.MaxInt, Healthy: limits.Slots, Busy: math.MaxInt,
			Unproven: half, Slow: half, Hanging: eighthsOfSlots(limits.Slots, 1), Uncertain: half,
		},
		destinationShares: NewShares(limits.PerDestination),
		namespaces:        map[string]*namespaceSlots{}, destinations: map[string]*destinationSlots{},
		queue: newSharedWaitQueue(),
	}
	l.destinationShares.Unproven = l.destinationShares.Uncertain // what is new is most of what there is after a start
	l.slots = NewQuota(&l.shares)
	return l
}

// Rules are the rules that endpoints are judged by.
func (l *Limiter) Rules() *Rules { return &l.rules }

// Add begins with an endpoint at a destination, host:port.
func (l *Limiter) Add(e *Endpoint, namespace, destination string) {
	d := l.destinations[destination]
	if d == nil {
		d = &destinationSlots{address: destination, slots: NewQuota(&l.destinationShares), byNamespace: map[string][States]int{}}
		l.destinations[destination] = d
	}
	n := l.namespaces[namespace]
	if n == nil {
		n = &namespaceSlots{name: namespace}
		l.namespaces[namespace] = n
	}
	e.Tracker, e.namespace, e.destination = NewTracker(), n, d
	d.endpoints++
	n.endpoints++
}

// Remove drops an endpoint. Its attempts under way still hold their slots.
func (l *Limiter) Remove(e *Endpoint) {
	e.destination.endpoints--
	l.dropDestination(e.destination)
	e.namespace.endpoints--
	l.dropNamespace(e.namespace)
}

func (l *Limiter) dropNamespace(n *namespaceSlots) {
	if n.endpoints == 0 && n.used == [States]int{} {
		delete(l.namespaces, n.name)
	}
}

func (l *Limiter) dropDestination(d *destinationSlots) {
	if d.endpoints == 0 && d.slots.Taken() == 0 {
		delete(l.destinations, d.address)
	}
}

// Acquire gives an endpoint a slot. Call MarkSlow before.
func (l *Limiter) Acquire(e *Endpoint, now time.Time) (*Slot, Refusal) {
	if e.CircuitState(now) == Open {
		return nil, CircuitOpen
	}
	state := l.share(e, now)
	if e.underWay >= e.MaxUnderWay(&l.rules, now) || !l.hasRoom(e, state) {
		return nil, Full
	}
	s := &Slot{Endpoint: e, Start: now, destination: e.destination, state: state, attempt: e.Start()}
	s.recent = l.recent.PushBack(s)
	l.charge(s, 1)
	return s, Granted
}

// share is the state whose share the next attempt to an endpoint takes a slot of: a healthy endpoint that may not answer
// soon takes it from the unproven ones.
func (l *Limiter) share(e *Endpoint, now time.Time) State {
	s := e.State(&l.rules, now)
	if s == Healthy && (e.IsTripped() || !e.isPrompt(&l.rules)) {
		return Unproven
	}
	return s
}

// hasRoom reports whether the bounds that webhooks share leave a slot of a share for one more attempt to an endpoint.
func (l *Limiter) hasRoom(e *Endpoint, s State) bool {
	d, n := e.destination, e.namespace
	there := d.byNamespace[n.name]
	mine := Quota{used: there}
	return l.slots.admits(s, n.used) && d.slots.admits(s, there) &&
		AdmitsAnother(d.slots.shares.Total, d.slots.Taken(), mine.Taken())
}

// charge counts a slot as taken, or as given back.
func (l *Limiter) charge(s *Slot, sign int) {
	n, d := s.Endpoint.namespace, s.destination
	l.slots.used[s.state] += sign
	n.used[s.state] += sign
	d.slots.used[s.state] += sign
	there := d.byNamespace[n.name]
	there[s.state] += sign
	if there != [States]int{} {
		d.byNamespace[n.name] = there
		return
	}
	delete(d.byNamespace, n.name)
	l.dropNamespace(n)
	l.dropDestination(d)
}

// move charges a slot to another share.
func (l *Limiter) move(s *Slot, to State) {
	n, d := s.Endpoint.namespace, s.destination
	n.used[s.state]--
	n.used[to]++
	there := d.byNamespace[n.name]
	there[s.state]--
	there[to]++
	d.byNamespace[n.name] = there
	l.slots.Move(s.state, to)
	d.slots.Move(s.state, to)
	s.state = to
}

// MarkSlow counts attempts as slow that have been under way for Rules.SlowAfter, however long their publishers wait, and
// moves their slots to the share of slow endpoints.
func (l *Limiter) MarkSlow(now time.Time) {
	for oldest := l.recent.Front(); oldest != nil; oldest = l.recent.Front() {
		s, _ := oldest.Value.(*Slot)
		since := s.Start.Add(l.rules.SlowAfter)
		if since.After(now) {
			return
		}
		l.recent.Remove(s.recent)
		e := s.Endpoint
		e.MarkSlow(&s.attempt, &l.rules, since)
		if s.state != Hanging {
			l.move(s, Slow)
		}
		l.wakeNext(e, now)
	}
}

// Release gives a slot back whose attempt was lost, so that nothing is learned from it.
func (l *Limiter) Release(s *Slot, now time.Time) {
	l.giveBack(s)
	l.wakeNext(s.Endpoint, now)
}

// ReleaseWithResult gives a slot back and learns from the result of its attempt.
func (l *Limiter) ReleaseWithResult(s *Slot, result Result, took time.Duration, now time.Time) {
	l.giveBack(s)
	s.Endpoint.Observe(s.attempt, result, took, &l.rules, now)
	l.wakeNext(s.Endpoint, now)
}

func (l *Limiter) giveBack(s *Slot) {
	if !s.attempt.IsSlow {
		l.recent.Remove(s.recent)
	}
	s.Endpoint.End(s.attempt)
	l.charge(s, -1)
}

// UnderWayAtDestination is how many attempts to the same destination are under way.
func (s *Slot) UnderWayAtDestination() int { return s.destination.slots.Taken() }

// UnderWay is how many attempts are under way, and how many of these hold slots of endpoints that are not known to
// answer in time.
func (l *Limiter) UnderWay() (all, uncertain int) { return l.slots.Taken(), l.slots.takenByUncertain() }

// Size is how many destinations and namespaces are kept.
func (l *Limiter) Size() (destinations, namespaces int) {
	return len(l.destinations), len(l.namespaces)
}

// Enqueue adds a waiter for a slot of an endpoint that has none free. It returns nil where waiting is of no use: the
// endpoint is slow or failing. Call MarkSlow before.
func (l *Limiter) Enqueue(e *Endpoint, now time.Time) *Waiter {
	if !e.mayWait(&l.rules, now) {
		return nil
	}
	w := &Waiter{endpoint: e, Ready: make(chan struct{})}
	switch {
	case e.underWay >= e.MaxUnderWay(&l.rules, now):
		w.queue, w.element = &e.queue, e.queue.PushBack(w)
	case !l.hasRoom(e, l.share(e, now)):
		l.queue.push(e.namespace.name, w)
	default: // a slot has become free
		close(w.Ready)
	}
	return w
}

// mayWait reports whether attempts to the endpoint are likely to end soon.
func (e *Endpoint) mayWait(r *Rules, now time.Time) bool {
	return e.CircuitState(now) == Closed && e.isPrompt(r)
}

// Dequeue removes a waiter that does not take a slot. If it was woken already, the next one is woken in its place.
func (l *Limiter) Dequeue(w *Waiter, now time.Time) {
	if w.element != nil {
		w.queue.Remove(w.element) // no effect if the waiter was woken
	}
	select {
	case <-w.Ready:
		l.wakeNext(w.endpoint, now)
	default:
	}
}

// wakeNext wakes as many waiters as there are free slots, now that an attempt has ended: all of the endpoint's own queue
// if waiting is of no use any more, and one of those that a shared bound held back.
func (l *Limiter) wakeNext(e *Endpoint, now time.Time) {
	if e.queue.Len() > 0 {
		room := e.MaxUnderWay(&l.rules, now) - e.underWay
		if !e.mayWait(&l.rules, now) || e.underWay == 0 {
			room = e.queue.Len()
		}
		for ; room > 0 && e.queue.Len() > 0; room-- {
			next, _ := e.queue.Remove(e.queue.Front()).(*Waiter)
			close(next.Ready)
		}
	}
	if len(l.queue.namespaces) == 0 {
		return
	}
	may := func(e *Endpoint) bool {
		return e.underWay >= e.MaxUnderWay(&l.rules, now) || l.hasRoom(e, l.share(e, now))
	}
	if next := l.queue.pop(may); next != nil {
		close(next.Ready)
	}
}

// Waiting is how many waiters an endpoint has of its own, and how many wait for a bound that webhooks share.
func (l *Limiter) Waiting(e *Endpoint) (own, shared int) { return e.queue.Len(), l.queue.len() }
