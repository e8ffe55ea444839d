// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

const (
	// firstPause and lastPause bound the pause after the dispatcher was not there.
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
	// reliefAfter, in times of StallAfter, is how long nothing must have been
	// heard of failing writes before one attempt may find out.
	reliefAfter = 5
	// throttled is how many attempts may be out, or wait to be settled, for one more
	// to start while there is a throttle. Those of slow webhooks do not count: they
	// wait for others.
	throttled = 2
)

// writes follows whether status writes are taken: of one namespace, or whether the
// API server can be reached at all.
type writes struct {
	failing bool
	since   time.Duration // first failure after the last success
	latest  time.Duration // latest failure, or latest attempt to find out
}

func (w *writes) stalled(now, after time.Duration) bool {
	return w.failing && now >= w.since+after
}

func (w *writes) fail(now time.Duration) {
	if !w.failing {
		w.failing, w.since = true, now
	}
	w.latest = now
}

// mayProbe reports whether, while writes are stalled, one attempt may find out
// whether they work again. While outcomes wait to be written, writing them will
// tell; when none does, an attempt has to.
func (w *writes) mayProbe(unsettled int, now, after time.Duration) bool {
	return unsettled == 0 && now >= w.latest+reliefAfter*after
}

// Unreachable says that the API server could not be asked to take a write, whatever
// the namespace. Once that has gone on for StallAfter no attempt starts.
func (r *Runner) Unreachable() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes.fail(r.now())
}

// Reached says that the API server has answered a write, with whatever.
func (r *Runner) Reached() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reached()
}

func (r *Runner) reached() {
	if r.writes.failing {
		r.writes = writes{}
		r.nudge()
	}
}

// pause is the time after a dispatcher that was not there, in which nothing
// starts, and the time after that, in which one attempt finds out.
type pause struct {
	length time.Duration // 0: no pause
	began  time.Duration
	probe  *flight
}

func (p *pause) ends() time.Duration { return p.began + p.length }

// unavailable takes in that an attempt could not be handed over. Of those that
// were started before the pause only the first counts.
func (p *pause) unavailable(f *flight, now time.Duration) {
	switch {
	case p.length == 0:
		p.length = firstPause
	case p.probe == f:
		p.length = min(2*p.length, lastPause)
	default:
		return
	}
	p.began, p.probe = now, nil
}

// settled ends the pause if the probe has been out for so long that it must have
// been handed over: a dispatcher that is not there says so at once.
func (p *pause) settled(now time.Duration) {
	if p.probe != nil && p.probe.sent != unsent && now >= p.probe.sent+firstPause {
		*p = pause{}
	}
}

// allowance is how many attempts the platform lets start now.
func (r *Runner) allowance(now time.Duration) int {
	allowed := batch
	if r.stopped || r.draining {
		allowed = 0
	}
	if r.throttle() {
		allowed = min(allowed, max(0, throttled-r.slots.total()+r.slots.slow()))
	}
	if r.pause.length > 0 {
		allowed = min(allowed, 1)
		if r.pause.probe != nil || now < r.pause.ends() {
			allowed = 0
		}
	}
	if r.writes.stalled(now, r.stallAfter) {
		allowed = min(allowed, 1)
		if !r.writes.mayProbe(r.slots.total()+r.stranded, now, r.stallAfter) {
			allowed = 0
		}
	}
	return allowed
}

// mark makes an attempt the one that finds out, where one has to.
func (r *Runner) mark(f *flight, now time.Duration) {
	for _, w := range []*writes{&r.writes, &f.rec.hook.space.writes} {
		if w.stalled(now, r.stallAfter) {
			f.probe = true
			w.latest = now
		}
	}
	if r.pause.length > 0 {
		r.pause.probe = f
	}
}
