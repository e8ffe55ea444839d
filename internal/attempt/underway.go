// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// maxThrottled is how many attempts may be under way, or wait to be acknowledged, for one
// more to start while there is a throttle. Those of slow webhooks do not count: they wait
// for others.
const maxThrottled = 2

// underWay has the attempts that were started and have not ended, as far as they
// say something about time and about the dispatcher.
type underWay struct {
	n      int
	recent list[attempt]              // sent less than SlowAfter ago, oldest first
	paces  [endpoint.States]startPace // of the slow ones
	pause  dispatcherPause
}

// add takes an attempt in that the scheduler has started.
func (u *underWay) add(a *attempt, s *scheduler, now time.Duration) {
	u.n++
	if u.pause.length > 0 {
		u.pause.probe = a
	}
	a.wait = u.startDelay(a, s, now)
}

// send notes that an attempt is handed to the sender. It reports whether that
// changes when something happens next.
func (u *underWay) send(a *attempt, now time.Duration) (changed bool) {
	a.sent = now
	u.recent.pushBack(&a.ageNode)
	return u.recent.n == 1 || u.pause.probe == a
}

// remove takes an attempt out that has ended.
func (u *underWay) remove(a *attempt) {
	u.n--
	a.ageNode.detach()
	if u.pause.probe == a {
		u.pause.probe = nil
	}
}

// markSlow makes webhooks slow whose attempts have been under way for SlowAfter.
func (u *underWay) markSlow(s *scheduler, now time.Duration) {
	for a := u.recent.first(); a != nil && a.sent+s.rules.SlowAfter <= now; a = u.recent.first() {
		a.ageNode.detach()
		h := a.job.webhook
		h.tracker.MarkSlow(&a.tracked, &s.rules, s.clock(now))
		if a.state != endpoint.Hanging {
			s.moveSlot(a, endpoint.Slow)
		}
		if h.tracker.IsCurrent(a.tracked) {
			s.updateWebhook(h, now)
		}
	}
}

// observe notes that the dispatcher has answered, and how long that took.
func (u *underWay) observe(a *attempt, now time.Duration) {
	u.pause = dispatcherPause{}
	if a.state.IsSlow() {
		u.paces[a.state].observe(now - a.sent)
	}
}

// startAllowance is how many attempts the platform lets start now.
func (u *underWay) startAllowance(s *scheduler, throttled bool, now time.Duration) int {
	allowed := startBatch
	if throttled {
		allowed = min(allowed, max(0, maxThrottled-s.slots.Taken()+s.slots.TakenBySlow()))
	}
	if u.pause.length > 0 {
		allowed = min(allowed, 1)
		if u.pause.probe != nil || now < u.pause.ends() {
			allowed = 0
		}
	}
	if s.apiServer.stalled(now, s.stallAfter) {
		allowed = min(allowed, 1)
		if !s.apiServer.mayProbe(s.slots.Taken()+s.stranded, now, s.stallAfter) {
			allowed = 0
		}
	}
	return allowed
}

// nextChange returns when something changes by itself.
func (u *underWay) nextChange(s *scheduler, blocked bool, now time.Duration) time.Duration {
	at := never
	if a := u.recent.first(); a != nil {
		at = min(at, a.sent+s.rules.SlowAfter)
	}
	if len(s.holds) > 0 {
		at = min(at, s.holds[0].hold.ends)
	}
	if job := s.lost.backingOff.first(); job != nil {
		at = min(at, job.due)
	}
	if s.queued > 0 {
		at = min(at, u.nextStart(s, blocked, now))
	}
	return at
}

// nextStart returns when a job that waits may start though nothing else happens.
func (u *underWay) nextStart(s *scheduler, blocked bool, now time.Duration) time.Duration {
	at := s.nextProbe(now)
	if blocked {
		at = now + gatePoll
	}
	if s.lost.current != nil && s.lost.anyReady() {
		if free := s.lost.since + s.lostBackoff; free > now {
			at = min(at, free)
		}
	}
	if u.pause.length > 0 {
		if u.pause.probe == nil && u.pause.ends() > now {
			at = min(at, u.pause.ends())
		} else if u.pause.probe != nil && u.pause.probe.sent != unsent {
			at = min(at, u.pause.probe.sent+firstPause)
		}
	}
	if s.apiServer.failing && s.slots.Taken()+s.stranded == 0 {
		if relief := s.apiServer.latest + reliefAfter*s.stallAfter; relief > now {
			at = min(at, relief)
		}
	}
	return at
}

// startDelay returns how long to wait before an attempt of a slow webhook is
// prepared. Attempts that hang end together; if those that follow them began
// together too, they would stay in step for ever, and with them all that they
// ask of the API server. So the share of slow webhooks is filled within the time
// that its attempts have lately taken: by Little's law that is as fast as they
// can use it, less a margin so that the wait is never what bounds them.
func (u *underWay) startDelay(a *attempt, s *scheduler, now time.Duration) time.Duration {
	if !a.state.IsSlow() || a.probe || u.pause.probe == a {
		return 0
	}
	slots := s.slots.Shares().Slow
	if a.state == endpoint.Hanging {
		slots = s.slots.Shares().Hanging
	}
	pace := &u.paces[a.state]
	return pace.delay(max(s.rules.SlowAfter, pace.expectedDuration()), slots, now)
}
