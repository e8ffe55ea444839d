// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"container/list"
	"context"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// turn is a place in the line for a slot of one webhook.
type turn struct {
	hook    *hookSlots
	element *list.Element
	called  chan struct{} // closed when it is worth trying again
}

// lineUp joins the line for a slot of a webhook that has none free. It returns
// nil where waiting is of no use: the endpoint is slow or failing, or no attempt
// of the webhook is out whose end would call the next.
func (s *slots) lineUp(webhook *v1alpha1.Webhook, now time.Time) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hook(webhook, now)
	if h.out == 0 || !h.isPrompt(s.slowAfter, now) {
		return nil
	}
	waiting := &turn{hook: h, called: make(chan struct{})}
	waiting.element = h.line.PushBack(waiting)
	return waiting
}

// isPrompt reports whether attempts of this webhook end soon, as far as is known.
func (h *hookSlots) isPrompt(slowAfter time.Duration, now time.Time) bool {
	return h.slowness == 0 && h.strikes < strikesToClose && h.typical <= slowAfter/4 && !now.Before(h.closedUntil)
}

// leaveLine gives a place in the line up.
func (s *slots) leaveLine(waiting *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting.hook.line.Remove(waiting.element) // nothing, if it was called
}

// callNext calls as many as there is room for, now that an attempt has ended: all
// of them, if waiting is of no use any more.
func (s *slots) callNext(h *hookSlots, now time.Time) {
	room := s.limit(h, now) - h.out
	if !h.isPrompt(s.slowAfter, now) || h.out == 0 {
		room = h.line.Len()
	}
	for ; room > 0 && h.line.Len() > 0; room-- {
		next, _ := h.line.Remove(h.line.Front()).(*turn)
		close(next.called)
	}
}

// patience is how long a publisher stands in line: four such waits are the wait
// for the answer of an endpoint.
func (f *firsts) patience() time.Duration { return f.wait / 4 }

// takeNow takes a slot that is free.
func (f *firsts) takeNow(webhook *v1alpha1.Webhook, pending func(before time.Time) bool) (*slot, refusal) {
	return f.slots.take(webhook, f.now(), pending)
}

// takeInTurn waits for a slot until ctx ends where one will be free soon: an
// attempt that is a moment late is better for everyone than an object. So it is
// when a gateway has just started and knows no endpoint yet.
func (f *firsts) takeInTurn(ctx context.Context) taking {
	return func(webhook *v1alpha1.Webhook, pending func(before time.Time) bool) (*slot, refusal) {
		for {
			at, why := f.takeNow(webhook, pending)
			if why != refusedFull || ctx.Err() != nil {
				return at, why
			}
			waiting := f.slots.lineUp(webhook, f.now())
			if waiting == nil {
				return f.takeNow(webhook, pending)
			}
			select {
			case <-waiting.called:
			case <-ctx.Done():
				f.slots.leaveLine(waiting)
			}
		}
	}
}
