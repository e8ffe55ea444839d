// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"maps"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// check compares the books of a runner with what they are about.
func (f *runnerFixture) check() {
	f.t.Helper()
	f.Runner.mu.Lock()
	defer f.Runner.mu.Unlock()
	f.checkSlots()
	f.checkQueues()
	f.checkFairQueues()
}

func (f *runnerFixture) checkSlots() {
	f.t.Helper()
	r := f.Runner
	if total := r.scheduler.slots.Taken(); total > r.scheduler.slots.Shares().Total {
		f.t.Errorf("%d attempts are unsettled, of %d allowed", total, r.scheduler.slots.Shares().Total)
	}
	var used [endpoint.States]int
	byDestination := map[*destination][endpoint.States]int{}
	underWay := 0
	for _, h := range r.scheduler.webhooks {
		if h.attempts.n > r.scheduler.rules.PerWebhook {
			f.t.Errorf("%s has %d attempts under way, %d allowed", h.key, h.attempts.n, r.scheduler.rules.PerWebhook)
		}
		ofEra, slow := 0, 0
		for n := h.attempts.head; n != nil; n = n.next {
			a := n.value
			underWay++
			used[a.state]++
			d := byDestination[a.destination]
			d[a.state]++
			byDestination[a.destination] = d
			if a.tracked.IsSlow && !a.state.IsSlow() {
				f.t.Errorf("%s has a slow attempt whose slot is not counted as slow", h.key)
			}
			if !h.tracker.IsCurrent(a.tracked) {
				continue
			}
			ofEra++
			if a.tracked.IsSlow {
				slow++
			} else if a.state != h.state {
				f.t.Errorf("%s is %v, the slot of its attempt is counted as %v", h.key, h.state, a.state)
			}
		}
		if slow != h.tracker.SlowUnderWay() || ofEra != h.tracker.UnderWay() {
			f.t.Errorf("%s: under way, slow: %d, %d; the books say %d, %d", h.key, ofEra, slow, h.tracker.UnderWay(), h.tracker.SlowUnderWay())
		}
	}
	unacknowledged, unsettled, stranded := map[*webhook]int{}, map[*namespace]int{}, 0
	for n := r.outcomes.finished.head; n != nil; n = n.next {
		if n.value.outcome.Err != nil {
			continue
		}
		unacknowledged[n.value.webhook]++
		unsettled[n.value.webhook.namespace]++
		if n.value.stranded {
			stranded++
		} else {
			used[n.value.slotState]++
		}
	}
	if stranded != r.scheduler.stranded {
		f.t.Errorf("%d outcomes have no slot; the books say %d", stranded, r.scheduler.stranded)
	}
	for _, h := range r.scheduler.webhooks {
		unsettled[h.namespace] += h.attempts.n
	}
	for _, namespace := range r.scheduler.namespaces {
		if namespace.unsettled != unsettled[namespace] {
			f.t.Errorf("%d attempts of %s are unsettled; the books say %d", unsettled[namespace], namespace.name, namespace.unsettled)
		}
	}
	for _, h := range r.scheduler.webhooks {
		if h.unacknowledged != unacknowledged[h] {
			f.t.Errorf("%s: %d outcomes are unacknowledged; the books say %d", h.key, unacknowledged[h], h.unacknowledged)
		}
	}
	if used != r.scheduler.slots.Used() || underWay != r.underWay.n {
		f.t.Errorf("slots used %v by %d under way; the books say %v, %d", used, underWay, r.scheduler.slots.Used(), r.underWay.n)
	}
	for _, d := range r.scheduler.destinations {
		if d.slots.Used() != byDestination[d] {
			f.t.Errorf("%s: slots used %v; the books say %v", d.address, byDestination[d], d.slots.Used())
		}
		if d.slots.Taken() > d.slots.Shares().Total {
			f.t.Errorf("%s: %d attempts are under way, of %d allowed", d.address, d.slots.Taken(), d.slots.Shares().Total)
		}
		delete(byDestination, d)
	}
	if len(byDestination) > 0 {
		f.t.Errorf("%d destinations with attempts under way were dropped", len(byDestination))
	}
}

func (f *runnerFixture) checkQueues() {
	f.t.Helper()
	r := f.Runner
	lost := r.scheduler.lost.backingOff.n
	for c := range r.scheduler.lost.ready {
		lost += r.scheduler.lost.ready[c].n
	}
	for _, d := range r.scheduler.destinations {
		lost += d.lost.n
	}
	queued := 0
	for _, h := range r.scheduler.webhooks {
		queued += h.queue.n
		lost += h.lost.n
		for n := h.queue.head; n != nil && n.next != nil; n = n.next {
			if n.value.queuedAt >= n.next.value.queuedAt {
				f.t.Errorf("the queue of %s is out of order", h.key)
			}
		}
	}
	jobs := map[*webhook]int{}
	count := map[Phase]int{}
	for _, job := range r.jobs {
		count[job.phase]++
		if job.phase != Finished {
			jobs[job.webhook]++
		}
	}
	for _, h := range r.scheduler.webhooks {
		if h.jobCount != jobs[h] {
			f.t.Errorf("%s has %d jobs; the books say %d", h.key, jobs[h], h.jobCount)
		}
		delete(jobs, h)
	}
	if len(jobs) > 0 {
		f.t.Errorf("%d webhooks with jobs were dropped", len(jobs))
	}
	want := map[Phase]int{Queued: queued + lost, UnderWay: r.underWay.n, Finished: r.outcomes.finished.n}
	maps.DeleteFunc(want, func(_ Phase, n int) bool { return n == 0 })
	if !maps.Equal(count, want) || queued+lost != r.scheduler.queued {
		f.t.Errorf("jobs by phase %v, members of lists %v, queued by the books %d", count, want, r.scheduler.queued)
	}
}

// checkFairQueues makes sure that every webhook that may start takes its turn.
func (f *runnerFixture) checkFairQueues() {
	f.t.Helper()
	r := f.Runner
	readyByDestination := map[*destination][endpoint.Priorities]int{}
	parked := map[*destination]bool{}
	ready := map[*namespace]int{}
	hooks := map[*namespace]int{}
	for _, h := range r.scheduler.webhooks {
		hooks[h.namespace]++
		waitsForWrites := h.waitNode.list != nil
		startable := h.queue.n > 0 && r.scheduler.mayStartWebhook(h, r.now())
		// Those of a namespace whose writes begin to fail leave when their turn comes.
		moving := h.namespace.writes.failing && !startable && h.group != nil || startable && h.group == nil && waitsForWrites
		if startable != (h.group != nil) && !moving {
			f.t.Errorf("%s: could start: %v, is in a fair queue: %v", h.key, startable, h.group != nil)
		}
		if h.group == nil {
			continue
		}
		if h.priority != h.nextPriority() {
			f.t.Errorf("%s has priority %d, not %d", h.key, h.priority, h.nextPriority())
		}
		if !h.ready {
			parked[h.destination] = true
			continue
		}
		ready[h.namespace]++
		d := readyByDestination[h.destination]
		d[h.priority]++
		readyByDestination[h.destination] = d
	}
	for _, d := range r.scheduler.destinations {
		if d.ready != readyByDestination[d] {
			f.t.Errorf("%s: ready %v; the books say %v", d.address, readyByDestination[d], d.ready)
		}
		for b := range endpoint.Priority(endpoint.Priorities) {
			if d.waiting[b].head() != nil && d.ready[b] < d.slots.Available(b) {
				f.t.Errorf("%s has room in priority %d, but webhooks wait", d.address, b)
			}
		}
		if parked[d] != (len(d.groups) > 0) {
			f.t.Errorf("%s: webhooks wait: %v, groups: %d", d.address, parked[d], len(d.groups))
		}
		if d.webhookCount == 0 && d.slots.Taken() == 0 {
			f.t.Errorf("%s is not used any more", d.address)
		}
	}
	for _, namespace := range r.scheduler.namespaces {
		if namespace.ready != ready[namespace] || namespace.webhookCount != hooks[namespace] {
			f.t.Errorf("namespace %s: ready %d, webhooks %d; the books say %d, %d",
				namespace.name, ready[namespace], hooks[namespace], namespace.ready, namespace.webhookCount)
		}
	}
}
