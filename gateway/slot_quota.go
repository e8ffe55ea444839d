// SPDX-License-Identifier: Apache-2.0

package gateway

import "time"

// A bound that is merely large is no isolation: one namespace would have all of it.
// Beyond three quarters of a bound that all share, a namespace gets another slot only
// if it has no more then than are left free.

// admitsAnother reports whether a namespace that has so many of a number of slots may take
// one more.
func admitsAnother(size, total, own int) bool {
	return total < size && (total < size*3/4 || own < size-total)
}

// namespaceSlots is what attempts of one namespace hold.
type namespaceSlots struct {
	used      [2]int // by kind
	endpoints int    // webhooks known
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

// slotKind is the kind of slot that the next attempt of a webhook needs.
func (l *limiter) slotKind(e *endpointState, now time.Time) int {
	if !e.isProven(now) || e.isTripped() || e.latencyAverage > l.slowAfter/4 {
		return kindUncertain
	}
	return kindPrompt
}

// hasFreeSlot reports whether the bounds that webhooks share have room for one more
// attempt of this one.
func (l *limiter) hasFreeSlot(e *endpointState, now time.Time) bool {
	kind, d := l.slotKind(e, now), e.destination
	return admitsAnother(l.sizes[kind], l.used[kind], l.namespace(e.key.namespace).used[kind]) &&
		admitsAnother(l.perDestination, d.underWay, d.byNamespace[e.key.namespace])
}

// charge notes that an attempt of a webhook takes a slot, or gives it back.
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

// moveToUncertain moves an attempt to the slots of webhooks that are not known to answer in time.
// Its destination has it all the while.
func (l *limiter) moveToUncertain(s *slot) {
	n := l.namespace(s.endpoint.key.namespace)
	l.used[s.kind]--
	n.used[s.kind]--
	s.kind = kindUncertain
	l.used[s.kind]++
	n.used[s.kind]++
}

// markSlow makes attempts count as slow that have been out for longer than an endpoint
// may take, however long their publishers wait: their slots are then of those that
// are not known to answer in time.
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
