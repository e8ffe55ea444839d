// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

// Stats is a count of what the runner holds.
type Stats struct {
	// Queued jobs, of which Lost wait to be repeated.
	Queued, Lost int
	// InFlight attempts.
	InFlight int
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
	Webhooks, Queued, InFlight, Unsettled int
	OldestQueued                          time.Duration
}

// Stats counts. Its cost grows with the number of webhooks, not with that of
// jobs.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	s := Stats{
		Queued:     r.queued,
		Lost:       r.queued,
		InFlight:   r.underWay,
		Unwritten:  r.finished.n,
		Unprepared: r.finished.n - r.stranded - (r.slots.taken() - r.underWay),
		Unsettled:  r.slots.taken(),
		Slots:      r.slots.size,
		Remembered: len(r.acknowledgements.known),
		Held:       len(r.holds),
		Stranded:   r.stranded,
		Paused:     r.pause.length > 0,
	}
	var all bool
	s.StalledNamespaces, all = r.stalledHomes(now)
	s.Stalled = all || r.writes.stalled(now, r.stallAfter)
	for class := range s.Classes {
		s.Classes[class].Unsettled = r.slots.used[class]
	}
	for _, h := range r.webhooks {
		class := h.classify(now, r.slowAfter)
		c := &s.Classes[class]
		c.Webhooks++
		c.Queued += h.queue.n
		c.InFlight += h.attempts.n
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
