// SPDX-License-Identifier: Apache-2.0

package gateway

import "time"

// A bound that is merely large is no isolation: one namespace would have all of it.
// Beyond three quarters of a bound that all share, a namespace gets another slot only
// if it has no more then than are left free.

// mayTake reports whether a namespace that has so many of a number of slots may take
// one more.
func mayTake(size, total, own int) bool {
	return total < size && (total < size*3/4 || own < size-total)
}

// spaceSlots is what attempts of one namespace hold.
type spaceSlots struct {
	used  [2]int // by kind
	hooks int    // webhooks known
}

func (s *slots) space(namespace string) *spaceSlots {
	space := s.spaces[namespace]
	if space == nil {
		space = &spaceSlots{}
		s.spaces[namespace] = space
	}
	return space
}

func (s *slots) dropSpace(namespace string) {
	if space := s.spaces[namespace]; space.hooks == 0 && space.used == [2]int{} {
		delete(s.spaces, namespace)
	}
}

// kindOf is the kind of slot that the next attempt of a webhook needs.
func (s *slots) kindOf(h *hookSlots, now time.Time) int {
	if !h.isProven(now) || h.isProbed() || h.typical > s.slowAfter/4 {
		return kindDoubtful
	}
	return kindPrompt
}

// hasRoom reports whether the bounds that webhooks share have room for one more
// attempt of this one.
func (s *slots) hasRoom(h *hookSlots, now time.Time) bool {
	kind, d := s.kindOf(h, now), h.destination
	return mayTake(s.sizes[kind], s.used[kind], s.space(h.key.namespace).used[kind]) &&
		mayTake(s.perDestination, d.out, d.byNamespace[h.key.namespace])
}

// charge notes that an attempt of a webhook takes a slot, or gives it back.
func (s *slots) charge(at *slot, sign int) {
	namespace := at.hook.key.namespace
	s.used[at.kind] += sign
	s.space(namespace).used[at.kind] += sign
	s.dropSpace(namespace)
	d := at.destination
	d.out += sign
	d.byNamespace[namespace] += sign
	if d.byNamespace[namespace] == 0 {
		delete(d.byNamespace, namespace)
	}
	s.drop(d)
}

// doubt moves an attempt to the slots of webhooks that are not known to answer in time.
// Its destination has it all the while.
func (s *slots) doubt(at *slot) {
	space := s.space(at.hook.key.namespace)
	s.used[at.kind]--
	space.used[at.kind]--
	at.kind = kindDoubtful
	s.used[at.kind]++
	space.used[at.kind]++
}

// ripen makes attempts count as slow that have been out for longer than an endpoint
// may take, however long their publishers wait: their slots are then of those that
// are not known to answer in time.
func (s *slots) ripen(now time.Time) {
	for e := s.young.Front(); e != nil; e = s.young.Front() {
		at, _ := e.Value.(*slot)
		since := at.began.Add(s.slowAfter)
		if since.After(now) {
			return
		}
		s.young.Remove(e)
		at.late = true
		s.doubt(at)
		at.hook.slow(since)
		s.callNext(at.hook, now)
	}
}
