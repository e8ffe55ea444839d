// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

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
	// States are the shares by the state of endpoints.
	States [endpoint.States]StateStats
}

// StateStats is a count of what the webhooks hold whose endpoints have one state. Lost jobs are
// not among those queued here.
type StateStats struct {
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
		Unprepared: r.outcomes.finished.n - sched.stranded - (sched.slots.Taken() - r.underWay.n),
		Unsettled:  sched.slots.Taken(),
		Slots:      sched.slots.Shares().Total,
		Remembered: len(r.outcomes.known),
		Held:       len(sched.holds),
		Stranded:   sched.stranded,
		Paused:     r.underWay.pause.length > 0,
	}
	var all bool
	s.StalledNamespaces, all = sched.stalledNamespaces(sched.webhooks, now)
	s.Stalled = all || sched.apiServer.stalled(now, sched.stallAfter)
	for state, taken := range sched.slots.Used() {
		s.States[state].Unsettled = taken
	}
	for _, h := range sched.webhooks {
		state := h.tracker.State(&sched.rules, sched.clock(now))
		c := &s.States[state]
		c.Webhooks++
		c.Queued += h.queue.n
		c.UnderWay += h.attempts.n
		s.Lost -= h.queue.n
		if job := h.queue.first(); job != nil {
			c.OldestQueued = max(c.OldestQueued, now-job.queuedAt)
		}
		if state != endpoint.Hanging {
			s.OldestQueued = max(s.OldestQueued, c.OldestQueued)
		}
	}
	return s
}
