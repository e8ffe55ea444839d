// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"container/heap"
	"time"
)

// hold is until when nothing of a webhook starts: its endpoint asked for a pause, or
// is gone. The caller does more about both once the outcome is written; that can be
// long after other attempts have started.
type hold struct {
	until time.Time
	ends  time.Duration
	index int // in scheduler.holds; -1: not held
}

// holdHeap has the webhooks that are held. It implements heap.Interface, by the end
// of the hold.
type holdHeap []*webhook

// hold starts nothing of a webhook before a time, or extends the hold it has.
func (h *holdHeap) hold(w *webhook, until time.Time, ends time.Duration) {
	switch {
	case !w.isHeld():
		w.hold.until, w.hold.ends = until, ends
		heap.Push(h, w)
	case ends > w.hold.ends:
		w.hold.until, w.hold.ends = until, ends
		heap.Fix(h, w.hold.index)
	}
}

// end ends the hold of a webhook, if there is one.
func (h *holdHeap) end(w *webhook) {
	if w.isHeld() {
		heap.Remove(h, w.hold.index)
		w.hold = hold{index: -1}
	}
}

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
