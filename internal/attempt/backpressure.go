// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

const (
	// firstPause and lastPause bound the pause after the dispatcher was not there.
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
	// reliefAfter, in times of StallAfter, is for how long nothing must have been
	// written in vain before one attempt probes the API server.
	reliefAfter = 5
	// maxThrottled is how many attempts may be under way, or wait to be acknowledged, for one more
	// to start while there is a throttle. Those of slow webhooks do not count: they
	// wait for others.
	maxThrottled = 2
)

// home follows whether status writes are taken: of one namespace, or whether the
// API server can be reached at all.
type home struct {
	failing bool
	since   time.Duration // first failure after the last success
	latest  time.Duration // latest failure or probe
}

func (w *home) stalled(now, after time.Duration) bool {
	return w.failing && now >= w.since+after
}

func (w *home) fail(now time.Duration) {
	if !w.failing {
		w.failing, w.since = true, now
	}
	w.latest = now
}

// mayProbe reports whether, while writes are stalled, one attempt may be the probe
// of whether they work again. As long as outcomes wait, their writes are the probe.
func (w *home) mayProbe(unsettled int, now, after time.Duration) bool {
	return unsettled == 0 && now >= w.latest+reliefAfter*after
}

// Unreachable says that a write did not reach the API server, for any namespace. Once that has gone on for StallAfter no attempt starts.
func (r *Runner) Unreachable() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes.fail(r.now())
}

// Reached says that the API server has answered a write, even with an error.
func (r *Runner) Reached() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reached()
}

func (r *Runner) reached() {
	if r.writes.failing {
		r.writes = home{}
		r.signal()
	}
}

// dispatcherPause is the time without attempts after the dispatcher was missing, and
// the time after that, in which one attempt is the probe.
type dispatcherPause struct {
	length time.Duration // 0: no pause
	began  time.Duration
	probe  *attempt
}

func (p *dispatcherPause) ends() time.Duration { return p.began + p.length }

// unavailable notes that an attempt could not be handed over. Of the attempts that
// started before the pause only the first counts.
func (p *dispatcherPause) unavailable(a *attempt, now time.Duration) {
	switch {
	case p.length == 0:
		p.length = firstPause
	case p.probe == a:
		p.length = min(2*p.length, lastPause)
	default:
		return
	}
	p.began, p.probe = now, nil
}

// endIfHandedOver ends the pause if the probe has been under way for so long that it must have
// been handed over: a dispatcher that is not there says so at once.
func (p *dispatcherPause) endIfHandedOver(now time.Duration) {
	if p.probe != nil && p.probe.sent != unsent && now >= p.probe.sent+firstPause {
		*p = dispatcherPause{}
	}
}

// startAllowance is how many attempts the platform lets start now.
func (r *Runner) startAllowance(now time.Duration) int {
	allowed := startBatch
	if r.stopped || r.draining {
		allowed = 0
	}
	if r.throttle() {
		allowed = min(allowed, max(0, maxThrottled-r.slots.taken()+r.slots.takenBySlow()))
	}
	if r.pause.length > 0 {
		allowed = min(allowed, 1)
		if r.pause.probe != nil || now < r.pause.ends() {
			allowed = 0
		}
	}
	if r.writes.stalled(now, r.stallAfter) {
		allowed = min(allowed, 1)
		if !r.writes.mayProbe(r.slots.taken()+r.stranded, now, r.stallAfter) {
			allowed = 0
		}
	}
	return allowed
}

// markProbe makes an attempt the probe, where one is due.
func (r *Runner) markProbe(a *attempt, now time.Duration) {
	for _, w := range []*home{&r.writes, &a.job.webhook.namespace.writes} {
		if w.stalled(now, r.stallAfter) {
			a.probe = true
			w.latest = now
		}
	}
	if r.pause.length > 0 {
		r.pause.probe = a
	}
}
