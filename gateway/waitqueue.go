// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"container/list"
	"context"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// turn is a place in a line for a slot of one webhook.
type turn struct {
	hook    *hookSlots
	line    *list.List // the webhook's own, or its namespace's for the bounds that all share
	element *list.Element
	called  chan struct{} // closed when it is worth trying again
}

// sharedLines are those who wait for a slot though their webhook may have one more:
// a line for each namespace, and namespaces take turns.
type sharedLines struct {
	byNamespace map[string]*list.List // of *turn
	order       []string              // namespaces, next first; some of them with nobody left
}

func newSharedLines() sharedLines { return sharedLines{byNamespace: map[string]*list.List{}} }

// join adds a turn of a namespace.
func (l *sharedLines) join(namespace string, waiting *turn) {
	line := l.byNamespace[namespace]
	if line == nil {
		line = list.New()
		l.byNamespace[namespace] = line
		l.order = append(l.order, namespace)
	}
	waiting.line, waiting.element = line, line.PushBack(waiting)
}

// next takes out the turn that comes next of those that may have a slot; nil: none.
func (l *sharedLines) next(may func(*hookSlots) bool) *turn {
	for range len(l.order) {
		namespace := l.order[0]
		l.order = l.order[1:]
		line := l.byNamespace[namespace]
		first := line.Front()
		if first == nil {
			delete(l.byNamespace, namespace)
			continue
		}
		l.order = append(l.order, namespace)
		if waiting, _ := first.Value.(*turn); may(waiting.hook) {
			line.Remove(first)
			return waiting
		}
	}
	return nil
}

// lineUp joins a line for a slot of a webhook that has none free. It returns nil
// where waiting is of no use: the endpoint is slow or failing, or no attempt is out
// whose end would call the next.
func (s *slots) lineUp(webhook *v1alpha1.Webhook, now time.Time) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ripen(now)
	h := s.hook(webhook, now)
	if !h.isPrompt(s.slowAfter, now) {
		return nil
	}
	waiting := &turn{hook: h, called: make(chan struct{})}
	switch {
	case h.out >= s.limit(h, now):
		waiting.line, waiting.element = &h.line, h.line.PushBack(waiting)
	case !s.hasRoom(h, now):
		s.lines.join(h.key.namespace, waiting)
	default: // by now there is one
		close(waiting.called)
	}
	return waiting
}

// isPrompt reports whether attempts of this webhook end soon, as far as is known.
func (h *hookSlots) isPrompt(slowAfter time.Duration, now time.Time) bool {
	return h.slowness == 0 && h.strikes < strikesToClose && h.typical <= slowAfter/4 && !now.Before(h.closedUntil)
}

// leaveLine gives a place in the line up. Who was called and leaves makes way for the
// next.
func (s *slots) leaveLine(waiting *turn, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if waiting.element != nil {
		waiting.line.Remove(waiting.element) // nothing, if it was called
	}
	select {
	case <-waiting.called:
		s.callNext(waiting.hook, now)
	default:
	}
}

// callNext calls as many as there is room for, now that an attempt has ended: all
// of the webhook's own line, if waiting is of no use any more, and one of those who
// wait for what all share.
func (s *slots) callNext(h *hookSlots, now time.Time) {
	room := s.limit(h, now) - h.out
	if !h.isPrompt(s.slowAfter, now) || h.out == 0 {
		room = h.line.Len()
	}
	for ; room > 0 && h.line.Len() > 0; room-- {
		next, _ := h.line.Remove(h.line.Front()).(*turn)
		close(next.called)
	}
	may := func(h *hookSlots) bool { return h.out >= s.limit(h, now) || s.hasRoom(h, now) }
	if next := s.lines.next(may); next != nil {
		close(next.called)
	}
}

// patience is how long a publisher stands in line: four such waits are the wait
// for the answer of an endpoint.
func (f *attempter) patience() time.Duration { return f.wait / 4 }

// takeNow takes a slot that is free.
func (f *attempter) takeNow(webhook *v1alpha1.Webhook, pending func(before time.Time) bool) (*slot, refusal) {
	return f.slots.take(webhook, f.now(), pending)
}

// takeInTurn waits for a slot until ctx ends where one will be free soon: an
// attempt that is a moment late is better for everyone than an object. So it is
// when a gateway has just started and knows no endpoint yet, and when an event is for
// more webhooks than there are slots.
func (f *attempter) takeInTurn(ctx context.Context) taking {
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
				f.slots.leaveLine(waiting, f.now())
			}
		}
	}
}
