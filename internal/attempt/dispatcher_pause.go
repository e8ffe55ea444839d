// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

const (
	// firstPause and lastPause bound the pause after the dispatcher was not there.
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
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
