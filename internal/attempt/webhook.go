// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// webhook is one webhook's queue and what has been learned about its endpoint.
type webhook struct {
	key   types.NamespacedName
	space *namespace
	dest  *destination // nil until its first job

	queue chain[record] // first come, first served
	lost  chain[record] // lost jobs that wait for this webhook
	jobs  int           // queued anywhere or in flight

	flights   chain[flight] // all in flight
	inFlight  int           // of these, the ones sent to dest in this era
	late      int           // of these, the ones out for longer than SlowAfter
	limit     int           // how many may be in flight
	unwritten int           // outcomes of attempts that wait to be written
	resting   int           // outcomes that were written too short a while ago
	starts    uint64        // attempts started so far
	full      uint64        // of these, the latest that reached the limit
	// epoch counts drops of the limit: only attempts started since the last one
	// move it. era counts destinations: only attempts of this one are learned from.
	epoch, era uint32

	class      Class
	experience experience
	hold       hold

	waits node[webhook] // in namespace.barred
	seat  node[webhook] // in a group
	group *group        // nil: not startable
	band  band          // the group's
	ready bool          // the group is of Runner.ready, else of dest.waiting
	turn  int64         // since when, if ready

	forgotten bool
}

// namespace gives the webhooks of one namespace their common turn.
type namespace struct {
	name   string
	turn   int64
	hooks  int          // webhooks known
	ready  int          // webhooks in groups
	groups [bands]group // in Runner.ready

	writes    writes         // of its deliveries
	unsettled int            // attempts in flight, or whose outcome waits to be written
	barred    chain[webhook] // that wait for writes to succeed
}

// webhook returns the webhook of that name, a new one if need be.
func (r *Runner) webhook(key types.NamespacedName) *webhook {
	if h := r.webhooks[key]; h != nil {
		return h
	}
	space := r.namespaces[key.Namespace]
	if space == nil {
		space = &namespace{name: key.Namespace}
		r.namespaces[key.Namespace] = space
	}
	space.hooks++
	h := &webhook{key: key, space: space, limit: 1, class: Unproven}
	h.seat.value, h.waits.value = h, h
	h.hold.index = -1
	r.webhooks[key] = h
	return h
}

// setDestination makes a webhook start afresh if its destination changed.
// Attempts that are still out to the old one keep their slots and count against
// the old destination and PerWebhook, but are not learned from.
func (r *Runner) setDestination(h *webhook, address string) {
	if h.dest == nil || h.dest.address != address {
		r.startAfresh(h, address)
	}
}

func (r *Runner) startAfresh(h *webhook, address string) {
	old := h.dest
	if old != nil {
		r.unlink(h)
		r.wake(old)
		r.unhold(h)
		h.reset()
		h.era++
		h.inFlight, h.late, h.class = 0, 0, Unproven
		old.hooks--
	}
	h.dest = r.destination(address)
	h.dest.hooks++
	if old != nil {
		r.drop(old)
	}
}

// Redirect says that the endpoint of a webhook has changed, maybe at the same
// host:port: nothing is known about the new one, and what is queued need not
// wait for what the old one asked for.
func (r *Runner) Redirect(key types.NamespacedName, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.webhooks[key]
	if h == nil {
		return
	}
	r.unhold(h) // it may be held though nothing was ever submitted
	r.startAfresh(h, address)
	r.refresh(h, r.now())
	r.nudge()
}

// reset forgets what was learned about a webhook.
func (h *webhook) reset() {
	h.calm()
	h.experience = experience{}
}

// calm lets one attempt at a time go out until one succeeds.
func (h *webhook) calm() {
	h.limit = 1
	h.epoch++
}

// nextBand is the band that the webhook's next attempt competes in.
func (h *webhook) nextBand() band {
	switch h.class {
	case Slow:
		return slow
	case Hanging:
		return hanging
	case Unproven:
		return unproven
	}
	if h.inFlight > 0 {
		return provenBusy
	}
	return provenIdle
}

// mayStart reports whether nothing of the webhook's own stands against one more
// attempt. While its endpoint fails, which can take a millisecond, what waits to
// be written counts as well, and what has been written for a while: else retries
// keep the API server as busy as it can be, and what has failed takes the slots
// of others.
func (r *Runner) mayStart(h *webhook) bool {
	out := h.inFlight
	if h.experience.failing {
		out += h.unwritten + h.resting
	}
	if h.space.writes.failing && r.bars(h.space, r.now()) {
		h.bar()
		return false
	}
	return !h.held() && out < h.limit && h.flights.n < r.perWebhook
}

// refresh brings class and position of a webhook up to date.
func (r *Runner) refresh(h *webhook, now time.Duration) {
	r.reclass(h, now)
	r.position(h)
}

// position puts a webhook into the rotation it belongs to, or out of all. It
// keeps its place if that is right already, else it goes to the end.
func (r *Runner) position(h *webhook) {
	if h.queue.n == 0 || !r.mayStart(h) {
		r.leave(h)
		return
	}
	b := h.nextBand()
	if h.group != nil && h.band == b {
		return
	}
	r.leave(h)
	if h.dest.admits(b) {
		r.linkReady(h, b)
		return
	}
	h.dest.park(h, b, r.nextTurn())
}

// leave takes a webhook out of the rotation it is in and lets those go ahead
// that its place kept waiting.
func (r *Runner) leave(h *webhook) {
	if h.group == nil {
		return
	}
	r.unlink(h)
	r.wake(h.dest)
}

func (r *Runner) linkReady(h *webhook, b band) {
	if h.space.ready == 0 {
		h.space.turn = r.nextTurn()
	}
	h.space.ready++
	h.dest.ready[b]++
	h.group, h.band, h.ready = &h.space.groups[b], b, true
	h.turn = r.nextTurn()
	r.ready[b].link(h.group, h, h.space.turn)
}

func (r *Runner) unlink(h *webhook) {
	switch {
	case h.group == nil:
		return
	case h.ready:
		h.space.ready--
		h.dest.ready[h.band]--
		r.ready[h.band].unlink(h.group, h)
	default:
		h.dest.unpark(h)
	}
	h.group = nil
}

// served gives a namespace its next turn behind all others.
func (r *Runner) served(space *namespace) {
	space.turn = r.nextTurn()
	for b := range r.ready {
		r.ready[b].delay(&space.groups[b], space.turn)
	}
}

func (r *Runner) nextTurn() int64 {
	r.turn++
	return r.turn
}

// ForgetWebhook drops what was learned about a webhook, and all of it once
// nothing of it is queued or in flight. Jobs that are queued stay.
func (r *Runner) ForgetWebhook(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.webhooks[key]
	if h == nil {
		return
	}
	h.forgotten = true
	h.reset()
	r.unhold(h)
	r.refresh(h, r.now())
	r.retire(h)
	r.nudge()
}

// retire removes a forgotten webhook when nothing is left of it.
func (r *Runner) retire(h *webhook) {
	if !h.forgotten || h.jobs > 0 || r.webhooks[h.key] != h {
		return
	}
	r.unlink(h)
	r.unhold(h)
	h.waits.leave()
	delete(r.webhooks, h.key)
	h.space.hooks--
	if h.space.hooks == 0 {
		delete(r.namespaces, h.key.Namespace)
		delete(r.failing, h.space)
	}
	if h.dest != nil {
		h.dest.hooks--
		r.drop(h.dest)
	}
}
