// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"container/heap"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/retry"
)

// goneHold is for how long nothing follows an answer of 410: time for the caller
// to write it and to know that the webhook is disabled.
const goneHold = 2 * time.Second

// retryAfterHold is until when an endpoint asked for a pause.
type retryAfterHold struct {
	until time.Time
	ends  time.Duration
	index int // in Runner.holds; -1: not held
}

func (h *webhook) held() bool { return h.hold.index >= 0 }

// Hold starts nothing of a webhook before the given time. Then its attempts go
// out one by one until one succeeds. A later call extends a hold, never shortens
// it.
func (r *Runner) Hold(key types.NamespacedName, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.webhook(key)
	r.holdUntil(h, until, r.now())
	r.schedule(h)
	r.signal()
}

func (r *Runner) holdUntil(h *webhook, until time.Time, now time.Duration) {
	h.resetLimit()
	ends := now + time.Until(until)
	switch {
	case ends <= now:
	case !h.held():
		h.hold.until, h.hold.ends = until, ends
		heap.Push(&r.holds, h)
	case ends > h.hold.ends:
		h.hold.until, h.hold.ends = until, ends
		heap.Fix(&r.holds, h.hold.index)
	}
}

// applyRetryAfter holds a webhook whose endpoint has just asked for a pause, or is gone. The
// caller does more about both once the outcome is written; that can be long
// after others have begun.
func (r *Runner) applyRetryAfter(h *webhook, a *attempt, result dispatcher.Result, now time.Duration) {
	var until time.Time
	switch {
	case a.era != h.era:
		return
	case result.Reason == dispatcher.ReasonGone:
		until = time.Now().Add(goneHold)
	case result.RetryAfter.IsZero():
		return
	default:
		until = result.RetryAfter
		if latest := time.Now().Add(retry.MaxRetryAfter); until.After(latest) {
			until = latest
		}
	}
	r.holdUntil(h, until, now)
}

// HoldUntil returns until when nothing of a webhook starts, the zero time if it
// is not held.
func (r *Runner) HoldUntil(key types.NamespacedName) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.webhooks[key]
	if h == nil || !h.held() || h.hold.ends <= r.now() {
		return time.Time{}
	}
	return h.hold.until
}

// Calm lets a webhook's attempts go out one by one until one succeeds, as after
// it was resumed or enabled.
func (r *Runner) Calm(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.webhooks[key]; h != nil {
		h.resetLimit()
		r.schedule(h)
	}
}

// endHold ends the hold of a webhook, if there is one.
func (r *Runner) endHold(h *webhook) {
	if h.held() {
		heap.Remove(&r.holds, h.hold.index)
		h.hold = retryAfterHold{index: -1}
	}
	r.lostAttempts.requeue(&h.lost)
}

// endHolds releases the webhooks whose time has come.
func (r *Runner) endHolds(now time.Duration) {
	for len(r.holds) > 0 && r.holds[0].hold.ends <= now {
		h := r.holds[0]
		r.endHold(h)
		r.schedule(h)
	}
}

// holdHeap implements heap.Interface, by the end of the hold.
type holdHeap []*webhook

func (h holdHeap) Len() int           { return len(h) }
func (h holdHeap) Less(i, j int) bool { return h[i].hold.ends < h[j].hold.ends }
func (h holdHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].hold.index, h[j].hold.index = i, j
}

func (h *holdHeap) Push(x any) {
	hook := x.(*webhook)
	hook.hold.index = len(*h)
	*h = append(*h, hook)
}

func (h *holdHeap) Pop() any {
	last := len(*h) - 1
	hook := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	hook.hold.index = -1
	return hook
}
