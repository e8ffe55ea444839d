// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

const (
	// firstPause and lastPause bound the pause after the dispatcher was not there.
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
	// maxThrottled is how many attempts may be under way, or wait to be acknowledged, for one more
	// to start while there is a throttle. Those of slow webhooks do not count: they
	// wait for others.
	maxThrottled = 2
)

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
