// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"container/list"
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// turnsPerCPU is how many requests a processor works on at a time: enough that none idles while requests wait for
	// each other, few enough that a request which need not wait finds at most some milliseconds of work before it.
	turnsPerCPU = 32
	// turnTime is how long a request counts as one that works. After it, it waits for something else as a rule: an
	// endpoint, the API server, bytes of its client.
	turnTime = 5 * time.Millisecond
	// setBack is how much later a request counts as having come for each other one of its connection: with as many as
	// there may be it waits for 100 ms of those of other connections, a proxy's for all its clients too.
	setBack = time.Millisecond
)

// turns bounds how many requests work at a time. HTTP/2 lets a few clients begin thousands in one moment, and Go's
// scheduler lets whatever comes later wait until each has had its share of a processor. So a request whose connection
// has others under way waits for its turn, those of connections with few before those of connections with many; the only
// request of a connection never waits. Make it with newTurns; safe for concurrent use.
type turns struct {
	size int

	mu      sync.Mutex
	taken   *list.List  // of *turn, oldest first
	waiting []*turn     // the next first
	timer   *time.Timer // nil: no request waits
}

// turn is what a request takes for its work.
type turn struct {
	turns   *turns
	due     time.Time     // orders those that wait
	ready   chan struct{} // nil: it did not wait
	began   time.Time
	element *list.Element // in taken; nil: it waits, or its turn is over
}

func newTurns() *turns {
	return &turns{size: turnsPerCPU * runtime.GOMAXPROCS(0), taken: list.New()}
}

// begin waits for a turn; others is how many requests of the connection are under way beside this one. It fails
// when ctx ends before.
func (t *turns) begin(ctx context.Context, others int) (own *turn, ok bool) {
	own = t.take(others)
	if own.ready == nil {
		return own, true
	}
	select {
	case <-own.ready:
		return own, true
	case <-ctx.Done():
		own.end()
		return nil, false
	}
}

// take begins a turn, or queues for it.
func (t *turns) take(others int) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := &turn{turns: t}
	if others > 0 && t.taken.Len() >= t.size {
		t.endOld()
	}
	if others == 0 || t.taken.Len() < t.size {
		t.admit(own)
		return own
	}
	own.ready, own.due = make(chan struct{}), time.Now().Add(time.Duration(others)*setBack)
	place, _ := slices.BinarySearchFunc(t.waiting, own, func(waits, own *turn) int {
		if waits.due.After(own.due) {
			return 1
		}
		return -1 // before it, or as early and first to come
	})
	t.waiting = slices.Insert(t.waiting, place, own)
	if t.timer == nil {
		t.timer = time.AfterFunc(time.Until(t.oldest().began.Add(turnTime)), t.passOn)
	}
	return own
}

func (t *turns) oldest() *turn { return t.taken.Front().Value.(*turn) }

func (t *turns) admit(own *turn) {
	own.began = time.Now()
	own.element = t.taken.PushBack(own)
	if own.ready != nil {
		close(own.ready)
	}
}

// passOn passes turns on for as long as requests wait.
func (t *turns) passOn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endOld()
	if len(t.waiting) == 0 {
		t.timer = nil
		return
	}
	t.timer.Reset(time.Until(t.oldest().began.Add(turnTime)))
}

// endOld ends the turns that have lasted for turnTime.
func (t *turns) endOld() {
	for t.taken.Len() > 0 && time.Since(t.oldest().began) >= turnTime {
		t.remove(t.oldest())
	}
	t.admitNext()
}

// admitNext lets requests that wait take the turns that are free.
func (t *turns) admitNext() {
	for len(t.waiting) > 0 && t.taken.Len() < t.size {
		t.admit(t.waiting[0])
		t.waiting = slices.Delete(t.waiting, 0, 1)
	}
}

func (t *turns) remove(own *turn) {
	t.taken.Remove(own.element)
	own.element = nil
}

// end lets another request have the turn, or leaves the queue. More calls do nothing; nil has no turn.
func (own *turn) end() {
	if own == nil {
		return
	}
	t := own.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case own.element != nil:
		t.remove(own)
		t.admitNext()
	case own.began.IsZero():
		t.waiting = slices.DeleteFunc(t.waiting, func(waits *turn) bool { return waits == own })
		own.began = time.Now() // more calls find that it is over
	}
}
