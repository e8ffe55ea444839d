// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

const (
	// burstDivisor is the part of a state's slots that slow attempts may fill at once.
	burstDivisor = 16
	// marginDivisor is the part of the time that slow attempts take by which they are
	// started faster than they end.
	marginDivisor = 5
	// paceWindow is over how many slow attempts that time is averaged.
	paceWindow = 32
)

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

// startPace spreads the attempts of a state over the time that they take.
type startPace struct {
	nextStart       time.Duration // when the next one may
	averageDuration time.Duration // moving average of how long they were under way
}

func (p *startPace) expectedDuration() time.Duration {
	return p.averageDuration - p.averageDuration/marginDivisor
}

// delay returns how long the next attempt waits if so many slots are filled within
// a time.
func (p *startPace) delay(within time.Duration, slots int, now time.Duration) time.Duration {
	at := max(p.nextStart, now-within/burstDivisor)
	p.nextStart = at + within/time.Duration(slots)
	return max(0, at-now)
}

// observe averages how long an attempt was under way.
func (p *startPace) observe(took time.Duration) {
	if p.averageDuration == 0 {
		p.averageDuration = took
		return
	}
	p.averageDuration += (took - p.averageDuration) / paceWindow
}
