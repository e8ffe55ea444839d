// SPDX-License-Identifier: Apache-2.0

package attempt

// destination is one host:port and everything that goes there, whatever the
// namespace. Its slots are shared out between classes as the runner's are, so
// webhooks that hang do not shut out those of others on the same host.
type destination struct {
	address string
	slots   share // in flight only: outcomes that wait to be written burden nobody
	hooks   int   // webhooks with this destination
	// ready counts the webhooks in Runner.ready by band: never more than there
	// was room for, so that a full destination does not take part in rotations.
	ready [bands]int
	// waiting are the webhooks that wait for room; namespaces take turns.
	waiting [bands]rotation
	groups  map[groupKey]*group // those of waiting that are not empty
	lost    chain[record]       // lost jobs that wait for room
}

type groupKey struct {
	space *namespace
	band  band
}

func (r *Runner) destination(address string) *destination {
	d := r.destinations[address]
	if d == nil {
		d = &destination{address: address, slots: newShare(r.perDestination, 7)}
		r.destinations[address] = d
	}
	return d
}

// drop removes a destination that nothing refers to.
func (r *Runner) drop(d *destination) {
	if d.hooks == 0 && d.slots.total() == 0 && r.destinations[d.address] == d {
		delete(r.destinations, d.address)
	}
}

// admits reports whether one more webhook may join the rotations in a band.
func (d *destination) admits(b band) bool {
	return d.waiting[b].head() == nil && d.ready[b] < d.slots.room(b)
}

// park makes a webhook wait for room, behind others.
func (d *destination) park(h *webhook, b band, turn int64) {
	h.group, h.band, h.ready = d.group(h, b), b, false
	d.waiting[b].link(h.group, h, turn)
}

// parkFirst makes a webhook that had its turn wait for room, before others.
func (d *destination) parkFirst(h *webhook, b band) {
	h.group, h.band, h.ready = d.group(h, b), b, false
	d.waiting[b].linkFirst(h.group, h)
}

func (d *destination) group(h *webhook, b band) *group {
	key := groupKey{h.space, b}
	g := d.groups[key]
	if g == nil {
		g = &group{}
		if d.groups == nil {
			d.groups = map[groupKey]*group{}
		}
		d.groups[key] = g
	}
	return g
}

func (d *destination) unpark(h *webhook) {
	d.waiting[h.band].unlink(h.group, h)
	if h.group.hooks.n == 0 {
		delete(d.groups, groupKey{h.space, h.band})
	}
}

// wake lets as many waiting webhooks join the rotations as there is room for.
func (r *Runner) wake(d *destination) {
	if len(d.groups) == 0 {
		return
	}
	for b := range band(bands) {
		for g := d.waiting[b].head(); g != nil && d.ready[b] < d.slots.room(b); g = d.waiting[b].head() {
			h := g.hooks.first()
			r.unlink(h)
			d.waiting[b].delay(g, r.nextTurn())
			r.linkReady(h, b)
		}
	}
}
