// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

// lane is where jobs go whose result was lost with the dispatcher. The request
// may have reached the endpoint, and it may be what brought the dispatcher down,
// so they are repeated alone: one runs at a time, though the next need not wait
// for one that takes longer than LostBackoff. Everything else goes on beside it.
type lane struct {
	cooling chain[record]          // lost less than LostBackoff ago, in the order they are due
	ready   [classes]chain[record] // due, by class of the webhook when it became so
	current *flight
	since   time.Duration // when current started
}

// revive makes lost jobs that waited for something try again, before others.
func (l *lane) revive(waiting *chain[record]) {
	for waiting.tail != nil {
		n := waiting.tail
		n.leave()
		l.ready[n.value.hook.class].pushFront(n)
	}
}

// ripen makes lost jobs ready whose time has come.
func (l *lane) ripen(now time.Duration) {
	for rec := l.cooling.first(); rec != nil && rec.due <= now; rec = l.cooling.first() {
		rec.seat.leave()
		l.ready[rec.hook.class].pushBack(&rec.seat)
	}
}

// waits reports whether a job could go if the lane were free.
func (l *lane) waits() bool {
	return l.ready[Proven].n+l.ready[Unproven].n+l.ready[Slow].n+l.ready[Hanging].n > 0
}

// nextLost takes the next job out of the lane that may start now, nil if there
// is none. Jobs of proven webhooks come first. One whose webhook or destination
// is not free steps aside until an attempt there ends.
func (r *Runner) nextLost(now time.Duration) *record {
	l := &r.lane
	if !l.waits() || (l.current != nil && now < l.since+r.lostBackoff) {
		return nil
	}
	for class := range l.ready {
		ready := &l.ready[class]
		for rec := ready.first(); rec != nil; rec = ready.first() {
			h := rec.hook
			r.refresh(h, now)
			b := h.nextBand()
			if r.slots.room(b) == 0 {
				break
			}
			rec.seat.leave()
			if !r.mayStart(h) {
				h.lost.pushBack(&rec.seat)
				continue
			}
			if h.dest.slots.room(b) == 0 {
				h.dest.lost.pushBack(&rec.seat)
				continue
			}
			return rec
		}
	}
	return nil
}

// lose puts the job of an attempt whose result was lost into the lane.
func (r *Runner) lose(rec *record, now time.Duration) {
	rec.phase = Queued
	r.queued++
	rec.due = now + r.lostBackoff
	r.lane.cooling.pushBack(&rec.seat)
}
