// SPDX-License-Identifier: Apache-2.0

package publish

import "time"

// A large bound alone isolates nothing: one namespace could use all of it. Beyond three quarters of a shared bound, a
// namespace gets another slot only if it has no more afterwards than are left free.

// admitsAnother reports whether a namespace that holds own of the size slots, of which total are used, may take one
// more.
func admitsAnother(size, total, own int) bool {
	return total < size && (total < size*3/4 || own < size-total)
}

// namespaceSlots are the slots that attempts of one namespace hold.
type namespaceSlots struct {
	used      [2]int // by kind
	endpoints int    // webhooks with an endpointState
}

func (l *limiter) namespace(namespace string) *namespaceSlots {
	n := l.namespaces[namespace]
	if n == nil {
		n = &namespaceSlots{}
		l.namespaces[namespace] = n
	}
	return n
}

func (l *limiter) dropNamespace(namespace string) {
	if n := l.namespaces[namespace]; n.endpoints == 0 && n.used == [2]int{} {
		delete(l.namespaces, namespace)
	}
}

// slotKind is the kind of slot that the next attempt of a webhook takes.
func (l *limiter) slotKind(e *endpointState, now time.Time) int {
	if !e.isProven(now) || e.isTripped() || e.latencyAverage > l.slowAfter/4 {
		return kindUncertain
	}
	return kindPrompt
}

// hasFreeSlot reports whether the shared bounds leave a slot for one more attempt of this webhook.
func (l *limiter) hasFreeSlot(e *endpointState, now time.Time) bool {
	kind, d := l.slotKind(e, now), e.destination
	return admitsAnother(l.sizes[kind], l.used[kind], l.namespace(e.key.namespace).used[kind]) &&
		admitsAnother(l.perDestination, d.underWay, d.byNamespace[e.key.namespace])
}

// charge counts a slot as taken, or as given back.
func (l *limiter) charge(s *slot, sign int) {
	namespace := s.endpoint.key.namespace
	l.used[s.kind] += sign
	l.namespace(namespace).used[s.kind] += sign
	l.dropNamespace(namespace)
	d := s.destination
	d.underWay += sign
	d.byNamespace[namespace] += sign
	if d.byNamespace[namespace] == 0 {
		delete(d.byNamespace, namespace)
	}
	l.dropDestination(d)
}

// moveToUncertain charges an attempt under way to the slots of webhooks that are not known to answer in time. Its
// destination stays charged.
func (l *limiter) moveToUncertain(s *slot) {
	n := l.namespace(s.endpoint.key.namespace)
	l.used[s.kind]--
	n.used[s.kind]--
	s.kind = kindUncertain
	l.used[s.kind]++
	n.used[s.kind]++
}

// markSlow counts attempts as slow that have been under way for longer than an endpoint may take, however long their
// publishers wait, and charges them to the slots of webhooks that are not known to answer in time.
func (l *limiter) markSlow(now time.Time) {
	for element := l.prompt.Front(); element != nil; element = l.prompt.Front() {
		s, _ := element.Value.(*slot)
		since := s.began.Add(l.slowAfter)
		if since.After(now) {
			return
		}
		l.prompt.Remove(element)
		s.slow = true
		l.moveToUncertain(s)
		s.endpoint.observeSlow(since)
		l.wakeNext(s.endpoint, now)
	}
}
