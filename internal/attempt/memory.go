// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// lingers is how long a number of attempts is remembered after the cache has
	// shown it or the delivery has gone: a reconcile that read the cache just
	// before may still submit that attempt again.
	lingers = time.Minute
	// finalLingers is the same for the last attempt of a delivery, which the
	// cache may never show because it drops what is done. Watches are renewed
	// more often than that, so no cache is stale for longer.
	finalLingers = 15 * time.Minute
)

// written is what is remembered about attempts that were written.
type written struct {
	uid      types.UID
	attempts int
	shown    bool // the cache has caught up, or there is nothing to show
	fades    time.Duration
	seat     node[written]
}

// memory is what is remembered about deliveries beyond the runner's records.
type memory struct {
	known  map[types.UID]*written
	fading chain[written] // for lingers, in order
	finals chain[written] // for finalLingers, in order
}

// attempts is how many attempts of a delivery are known to have been made.
func (m *memory) attempts(uid types.UID) int {
	if w := m.known[uid]; w != nil {
		return w.attempts
	}
	return 0
}

// keep remembers attempts that were written.
func (m *memory) keep(uid types.UID, attempts int, final bool, now time.Duration) {
	w := m.known[uid]
	if w == nil {
		w = &written{uid: uid}
		w.seat.value = w
		m.known[uid] = w
	}
	if attempts < w.attempts {
		return
	}
	w.attempts, w.shown = attempts, false
	w.seat.leave()
	if final {
		w.fades = now + finalLingers
		m.finals.pushBack(&w.seat)
	}
}

// fade remembers attempts for a little longer only.
func (m *memory) fade(uid types.UID, attempts int, now time.Duration) {
	if attempts > m.attempts(uid) {
		m.keep(uid, attempts, false, now)
	}
	w := m.known[uid]
	if w == nil || w.shown {
		return
	}
	w.shown = true
	w.fades = now + lingers
	w.seat.leave()
	m.fading.pushBack(&w.seat)
}

// sweep drops what has faded.
func (m *memory) sweep(now time.Duration) {
	for _, c := range []*chain[written]{&m.fading, &m.finals} {
		for w := c.first(); w != nil && w.fades <= now; w = c.first() {
			w.seat.leave()
			delete(m.known, w.uid)
		}
	}
}

// View returns what the runner knows about a delivery.
func (r *Runner) View(uid types.UID) View {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.records[uid]
	if rec == nil {
		w := r.memory.known[uid]
		switch {
		case w == nil:
			return View{}
		case w.shown:
			return View{Phase: None, Attempts: w.attempts}
		}
		return View{Phase: Written, Attempts: w.attempts}
	}
	view := View{Phase: rec.phase, Attempts: int(rec.number) - 1}
	if rec.phase == Finished {
		view.Outcome = *rec.outcome
		view.Attempts = rec.outcome.attempts()
	}
	return view
}

// Written says that the API server took a status that shows this many attempts.
// If that includes the outcome that was waiting, its slot is free. final tells
// that no attempt follows by itself. The number is remembered until Observed or
// Forget, if final for 15 minutes at most.
func (r *Runner) Written(uid types.UID, attempts int, final bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.memory.sweep(now)
	if attempts > 0 {
		r.memory.keep(uid, attempts, final, now)
	}
	switch rec := r.records[uid]; {
	case rec == nil:
	case rec.phase == Finished && attempts >= rec.outcome.attempts():
		r.settle(rec)
	case rec.phase == Queued && attempts >= int(rec.number):
		r.withdraw(rec)
	}
}

// Observed says that the cache shows this many attempts. A job that waits to
// make one of them, because somebody else made it, is withdrawn.
func (r *Runner) Observed(uid types.UID, attempts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.memory.known[uid]; w != nil && w.attempts <= attempts {
		r.memory.fade(uid, attempts, r.now())
	}
	if rec := r.records[uid]; rec != nil && rec.phase == Queued && attempts >= int(rec.number) {
		r.withdraw(rec)
	}
}

// Dropped says that the outcome will not be written: the object is gone, or
// somebody else has written it, or no attempt was made. The slot is free. An
// attempt that was made is not made again for the next minute.
func (r *Runner) Dropped(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.records[uid]; rec != nil && rec.phase == Finished {
		r.settle(rec)
		r.memory.fade(uid, rec.outcome.attempts(), r.now())
	}
}

// Forget says that the object was deleted. What is queued is withdrawn, what is
// finished is dropped, and what is in flight is dropped when it ends, without a
// call of Wake.
func (r *Runner) Forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.memory.sweep(now)
	attempts := 0
	if rec := r.records[uid]; rec != nil {
		switch rec.phase {
		case Queued:
			r.withdraw(rec)
		case InFlight:
			rec.forgotten = true
		case Finished:
			r.settle(rec)
			attempts = rec.outcome.attempts()
		}
	}
	r.memory.fade(uid, attempts, now)
}

// settle lets go of an outcome.
func (r *Runner) settle(rec *record) {
	rec.seat.leave()
	r.remove(rec)
	if rec.outcome.Err == nil {
		rec.hook.unwritten--
		r.rest(rec.hook, min(writeRest*(r.now()-rec.due), mostRest))
		r.admitAgain(rec.hook)
		r.free(rec)
		r.nudge()
	}
}

// rest leaves the endpoint of a webhook alone for a while if it fails.
func (r *Runner) rest(h *webhook, d time.Duration) {
	if !h.experience.failing || d <= 0 {
		return
	}
	h.resting++
	time.AfterFunc(d, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		h.resting--
		r.admitAgain(h)
		r.nudge()
	})
}

// admitAgain lets the jobs of a webhook compete that its outcomes kept waiting.
func (r *Runner) admitAgain(h *webhook) {
	r.position(h)
	r.lane.revive(&h.lost)
}

// Unsettled returns the deliveries whose attempt was made and whose outcome
// waits to be written, oldest outcome first.
func (r *Runner) Unsettled() []types.NamespacedName {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]types.NamespacedName, 0, r.finished.n)
	for n := r.finished.head; n != nil; n = n.next {
		if n.value.outcome.Err == nil {
			names = append(names, n.value.name())
		}
	}
	return names
}
