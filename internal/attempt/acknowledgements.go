// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// keepShown is how long a number of attempts is remembered after the cache has
	// shown it or the delivery has gone: a reconcile that read the cache just
	// before may still submit that attempt again.
	keepShown = time.Minute
	// keepFinal is the same for the last attempt of a delivery, which the
	// cache may never show because it drops what is done. Watches are renewed
	// more often than that, so no cache is stale for longer.
	keepFinal = 15 * time.Minute
)

// acknowledgement is how many attempts of a delivery have been acknowledged.
type acknowledgement struct {
	uid      types.UID
	attempts int
	inCache  bool // the cache has caught up, or there is nothing to show
	expires  time.Duration
	node     node[acknowledgement]
}

// acknowledgements remembers, beyond the runner's jobs, which attempts were made:
// a caller whose cache is stale may submit them again.
type acknowledgements struct {
	known    map[types.UID]*acknowledgement
	expiring list[acknowledgement] // for keepShown, in order
	finals   list[acknowledgement] // for keepFinal, in order
}

// attempts is how many attempts of a delivery are known to have been made.
func (m *acknowledgements) attempts(uid types.UID) int {
	if w := m.known[uid]; w != nil {
		return w.attempts
	}
	return 0
}

// add remembers attempts that were written.
func (m *acknowledgements) add(uid types.UID, attempts int, final bool, now time.Duration) {
	w := m.known[uid]
	if w == nil {
		w = &acknowledgement{uid: uid}
		w.node.value = w
		m.known[uid] = w
	}
	if attempts < w.attempts {
		return
	}
	w.attempts, w.inCache = attempts, false
	w.node.detach()
	if final {
		w.expires = now + keepFinal
		m.finals.pushBack(&w.node)
	}
}

// expireSoon remembers attempts for a little longer only.
func (m *acknowledgements) expireSoon(uid types.UID, attempts int, now time.Duration) {
	if attempts > m.attempts(uid) {
		m.add(uid, attempts, false, now)
	}
	w := m.known[uid]
	if w == nil || w.inCache {
		return
	}
	w.inCache = true
	w.expires = now + keepShown
	w.node.detach()
	m.expiring.pushBack(&w.node)
}

// dropExpired drops what has expired.
func (m *acknowledgements) dropExpired(now time.Duration) {
	for _, c := range []*list[acknowledgement]{&m.expiring, &m.finals} {
		for w := c.first(); w != nil && w.expires <= now; w = c.first() {
			w.node.detach()
			delete(m.known, w.uid)
		}
	}
}

// View returns what the runner knows about a delivery.
func (r *Runner) View(uid types.UID) View {
	r.mu.Lock()
	defer r.mu.Unlock()
	job := r.jobs[uid]
	if job == nil {
		w := r.acknowledgements.known[uid]
		switch {
		case w == nil:
			return View{}
		case w.inCache:
			return View{Phase: None, Attempts: w.attempts}
		}
		return View{Phase: Written, Attempts: w.attempts}
	}
	view := View{Phase: job.phase, Attempts: int(job.number) - 1}
	if job.phase == Finished {
		view.Outcome = *job.outcome
		view.Attempts = job.outcome.attempts()
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
	r.acknowledgements.dropExpired(now)
	if attempts > 0 {
		r.acknowledgements.add(uid, attempts, final, now)
	}
	switch job := r.jobs[uid]; {
	case job == nil:
	case job.phase == Finished && attempts >= job.outcome.attempts():
		r.releaseOutcome(job)
	case job.phase == Queued && attempts >= int(job.number):
		r.withdraw(job)
	}
}

// Observed says that the cache shows this many attempts. A job that waits to
// make one of them, because another process made it, is withdrawn.
func (r *Runner) Observed(uid types.UID, attempts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.acknowledgements.known[uid]; w != nil && w.attempts <= attempts {
		r.acknowledgements.expireSoon(uid, attempts, r.now())
	}
	if job := r.jobs[uid]; job != nil && job.phase == Queued && attempts >= int(job.number) {
		r.withdraw(job)
	}
}

// Dropped says that the outcome will not be written: the object is gone, or
// another process has written it, or no attempt was made. The slot is free. An
// attempt that was made is not made again for the next minute.
func (r *Runner) Dropped(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if job := r.jobs[uid]; job != nil && job.phase == Finished {
		r.releaseOutcome(job)
		r.acknowledgements.expireSoon(uid, job.outcome.attempts(), r.now())
	}
}

// Forget says that the object was deleted. What is queued is withdrawn, what is
// finished is dropped, and what is under way is dropped when it ends, without a
// call of Wake.
func (r *Runner) Forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.acknowledgements.dropExpired(now)
	attempts := 0
	if job := r.jobs[uid]; job != nil {
		switch job.phase {
		case Queued:
			r.withdraw(job)
		case InFlight:
			job.forgotten = true
		case Finished:
			r.releaseOutcome(job)
			attempts = job.outcome.attempts()
		}
	}
	r.acknowledgements.expireSoon(uid, attempts, now)
}

// releaseOutcome drops an outcome and gives back its slot.
func (r *Runner) releaseOutcome(job *trackedJob) {
	job.node.detach()
	r.remove(job)
	if job.outcome.Err == nil {
		job.webhook.unacknowledged--
		r.throttleEndpoint(job.webhook, min(throttleFactor*(r.now()-job.due), maxThrottle))
		r.admitAgain(job.webhook)
		r.releaseSlot(job)
		r.signal()
	}
}

// throttleEndpoint pauses the attempts of a webhook whose endpoint fails.
func (r *Runner) throttleEndpoint(h *webhook, d time.Duration) {
	if !h.health.failing || d <= 0 {
		return
	}
	h.throttledOutcomes++
	time.AfterFunc(d, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		h.throttledOutcomes--
		r.admitAgain(h)
		r.signal()
	})
}

// admitAgain schedules the jobs of a webhook that waited for its outcomes.
func (r *Runner) admitAgain(h *webhook) {
	r.schedule(h)
	r.lostAttempts.requeue(&h.lost)
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
