// SPDX-License-Identifier: Apache-2.0

package attempt

import "time"

const (
	// burstDivisor is the part of a state's slots that slow attempts may fill at once.
	burstDivisor = 16
	// marginDivisor is the part of the time that slow attempts take by which they are
	// started faster than they end.
	marginDivisor = 5
	// paceWindow is over how many slow attempts that time is averaged.
	paceWindow = 32
)

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
