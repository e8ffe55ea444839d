// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

// Stats is a count of what the runner holds.
type Stats struct {
	// Queued jobs, of which Lost wait to be repeated.
	Queued, Lost int
	// UnderWay attempts.
	UnderWay int
	// Unwritten outcomes, of which Unprepared are not of an attempt.
	Unwritten, Unprepared int
	// Unsettled is how many slots are taken, of Slots.
	Unsettled, Slots int
	// Remembered is of how many deliveries the number of attempts is remembered.
	Remembered int
	// OldestQueued is how long the job has been queued that waits longest, of
	// webhooks that are not hanging: those wait for each other.
	OldestQueued time.Duration
	// Held webhooks wait as their endpoints asked.
	Held int
	// Stalled: nothing starts because status writes have been failing, wherever there
	// is something to write.
	Stalled bool
	// StalledNamespaces are those of which nothing starts because their status writes
	// have been failing; Stranded outcomes wait to be written there, without a slot.
	StalledNamespaces, Stranded int
	// Paused: nothing starts because the dispatcher is not there.
	Paused bool
	// Classes are the shares by class, indexed by Proven, Unproven, Slow and
	// Hanging.
	Classes [classes]ClassStats
}

// ClassStats is a count of what the webhooks of one class hold. Lost jobs are
// not among those queued here.
type ClassStats struct {
	Webhooks, Queued, UnderWay, Unsettled int
	OldestQueued                          time.Duration
}

// Stats counts. Its cost grows with the number of webhooks, not with that of
// jobs.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, sched := r.now(), &r.scheduler
	s := Stats{
		Queued:     sched.queued,
		Lost:       sched.queued,
		UnderWay:   r.underWay.n,
		Unwritten:  r.outcomes.finished.n,
		Unprepared: r.outcomes.finished.n - sched.stranded - (sched.slots.taken() - r.underWay.n),
		Unsettled:  sched.slots.taken(),
		Slots:      sched.slots.size,
		Remembered: len(r.outcomes.known),
		Held:       len(sched.holds),
		Stranded:   sched.stranded,
		Paused:     r.underWay.pause.length > 0,
	}
	var all bool
	s.StalledNamespaces, all = sched.stalledNamespaces(sched.webhooks, now)
	s.Stalled = all || sched.apiServer.stalled(now, sched.stallAfter)
	for class := range s.Classes {
		s.Classes[class].Unsettled = sched.slots.used[class]
	}
	for _, h := range sched.webhooks {
		class := h.classify(now, sched.slowAfter)
		c := &s.Classes[class]
		c.Webhooks++
		c.Queued += h.queue.n
		c.UnderWay += h.attempts.n
		s.Lost -= h.queue.n
		if job := h.queue.first(); job != nil {
			c.OldestQueued = max(c.OldestQueued, now-job.queuedAt)
		}
		if class != Hanging {
			s.OldestQueued = max(s.OldestQueued, c.OldestQueued)
		}
	}
	return s
}
