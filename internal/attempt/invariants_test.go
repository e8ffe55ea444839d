// SPDX-License-Identifier: Apache-2.0

package attempt

import "maps"

// check compares the books of a runner with what they are about.
func (w *world) check() {
	w.t.Helper()
	w.Runner.mu.Lock()
	defer w.Runner.mu.Unlock()
	w.checkSlots()
	w.checkQueues()
	w.checkRotations()
}

func (w *world) checkSlots() {
	w.t.Helper()
	r := w.Runner
	if total := r.slots.total(); total > r.slots.size {
		w.t.Errorf("%d attempts are unsettled, of %d allowed", total, r.slots.size)
	}
	var used [classes]int
	byDestination := map[*destination][classes]int{}
	inFlight := 0
	for _, h := range r.webhooks {
		if h.flights.n > r.perWebhook {
			w.t.Errorf("%s has %d attempts in flight, %d allowed", h.key, h.flights.n, r.perWebhook)
		}
		ofEra, late := 0, 0
		for n := h.flights.head; n != nil; n = n.next {
			f := n.value
			inFlight++
			used[f.class]++
			d := byDestination[f.dest]
			d[f.class]++
			byDestination[f.dest] = d
			if f.late && !f.class.isSlow() {
				w.t.Errorf("%s has a late attempt that is not charged as slow", h.key)
			}
			if f.era != h.era {
				continue
			}
			ofEra++
			if f.late {
				late++
			} else if f.class != h.class {
				w.t.Errorf("%s is %v, its attempt is charged as %v", h.key, h.class, f.class)
			}
		}
		if ofEra != h.inFlight || late != h.late {
			w.t.Errorf("%s: in flight, late: %d, %d; the books say %d, %d", h.key, ofEra, late, h.inFlight, h.late)
		}
	}
	unwritten, unsettled, stranded := map[*webhook]int{}, map[*namespace]int{}, 0
	for n := r.finished.head; n != nil; n = n.next {
		if n.value.outcome.Err != nil {
			continue
		}
		unwritten[n.value.hook]++
		unsettled[n.value.hook.space]++
		if n.value.stranded {
			stranded++
		} else {
			used[n.value.charge]++
		}
	}
	if stranded != r.stranded {
		w.t.Errorf("%d outcomes have no slot; the books say %d", stranded, r.stranded)
	}
	for _, h := range r.webhooks {
		unsettled[h.space] += h.flights.n
	}
	for _, space := range r.namespaces {
		if space.unsettled != unsettled[space] {
			w.t.Errorf("%d attempts of %s are unsettled; the books say %d", unsettled[space], space.name, space.unsettled)
		}
	}
	for _, h := range r.webhooks {
		if h.unwritten != unwritten[h] {
			w.t.Errorf("%s: %d outcomes are unwritten; the books say %d", h.key, unwritten[h], h.unwritten)
		}
	}
	if used != r.slots.used || inFlight != r.inFlight {
		w.t.Errorf("slots used %v by %d in flight; the books say %v, %d", used, inFlight, r.slots.used, r.inFlight)
	}
	for _, d := range r.destinations {
		if d.slots.used != byDestination[d] {
			w.t.Errorf("%s: slots used %v; the books say %v", d.address, byDestination[d], d.slots.used)
		}
		if d.slots.total() > d.slots.size {
			w.t.Errorf("%s: %d attempts are in flight, of %d allowed", d.address, d.slots.total(), d.slots.size)
		}
		delete(byDestination, d)
	}
	if len(byDestination) > 0 {
		w.t.Errorf("%d destinations with attempts in flight were dropped", len(byDestination))
	}
}

func (w *world) checkQueues() {
	w.t.Helper()
	r := w.Runner
	lost := r.lane.cooling.n
	for c := range r.lane.ready {
		lost += r.lane.ready[c].n
	}
	for _, d := range r.destinations {
		lost += d.lost.n
	}
	queued := 0
	for _, h := range r.webhooks {
		queued += h.queue.n
		lost += h.lost.n
		for n := h.queue.head; n != nil && n.next != nil; n = n.next {
			if n.value.queuedAt >= n.next.value.queuedAt {
				w.t.Errorf("the queue of %s is out of order", h.key)
			}
		}
	}
	jobs := map[*webhook]int{}
	count := map[Phase]int{}
	for _, rec := range r.records {
		count[rec.phase]++
		if rec.phase != Finished {
			jobs[rec.hook]++
		}
	}
	for _, h := range r.webhooks {
		if h.jobs != jobs[h] {
			w.t.Errorf("%s has %d jobs; the books say %d", h.key, jobs[h], h.jobs)
		}
		delete(jobs, h)
	}
	if len(jobs) > 0 {
		w.t.Errorf("%d webhooks with jobs were dropped", len(jobs))
	}
	want := map[Phase]int{Queued: queued + lost, InFlight: r.inFlight, Finished: r.finished.n}
	maps.DeleteFunc(want, func(_ Phase, n int) bool { return n == 0 })
	if !maps.Equal(count, want) || queued+lost != r.queued {
		w.t.Errorf("records by phase %v, members of lists %v, queued by the books %d", count, want, r.queued)
	}
}

// checkRotations makes sure that nobody who could start is left out.
func (w *world) checkRotations() {
	w.t.Helper()
	r := w.Runner
	readyByDestination := map[*destination][bands]int{}
	parked := map[*destination]bool{}
	ready := map[*namespace]int{}
	hooks := map[*namespace]int{}
	for _, h := range r.webhooks {
		hooks[h.space]++
		barred := h.waits.in != nil
		startable := h.queue.n > 0 && r.mayStart(h)
		// Those of a namespace whose writes begin to fail leave when their turn comes.
		late := h.space.writes.failing && !startable && h.group != nil || startable && h.group == nil && barred
		if startable != (h.group != nil) && !late {
			w.t.Errorf("%s: could start: %v, takes part in a rotation: %v", h.key, startable, h.group != nil)
		}
		if h.group == nil {
			continue
		}
		if h.band != h.nextBand() {
			w.t.Errorf("%s takes part in band %d, not in %d", h.key, h.band, h.nextBand())
		}
		if !h.ready {
			parked[h.dest] = true
			continue
		}
		ready[h.space]++
		d := readyByDestination[h.dest]
		d[h.band]++
		readyByDestination[h.dest] = d
	}
	for _, d := range r.destinations {
		if d.ready != readyByDestination[d] {
			w.t.Errorf("%s: ready %v; the books say %v", d.address, readyByDestination[d], d.ready)
		}
		for b := range band(bands) {
			if d.waiting[b].head() != nil && d.ready[b] < d.slots.room(b) {
				w.t.Errorf("%s has room in band %d, but webhooks wait", d.address, b)
			}
		}
		if parked[d] != (len(d.groups) > 0) {
			w.t.Errorf("%s: webhooks wait: %v, groups: %d", d.address, parked[d], len(d.groups))
		}
		if d.hooks == 0 && d.slots.total() == 0 {
			w.t.Errorf("%s is not used any more", d.address)
		}
	}
	for _, space := range r.namespaces {
		if space.ready != ready[space] || space.hooks != hooks[space] {
			w.t.Errorf("namespace %s: ready %d, webhooks %d; the books say %d, %d",
				space.name, ready[space], hooks[space], space.ready, space.hooks)
		}
	}
}
