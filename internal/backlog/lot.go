// SPDX-License-Identifier: Apache-2.0

package backlog

import "time"

// State says what happens with the entries of a Lot.
type State uint8

// States of a Lot.
const (
	Draining State = iota
	Parked
	Waiting
	Held
)

func (s State) String() string { return [...]string{"Draining", "Parked", "Waiting", "Held"}[s] }

// Lot is what waits for one webhook, as far as its leader has read it. Its caller
// reads messages from the log into it, makes the attempts that Next allows, carries
// out the Decisions, and trims the log up to Position. It is not safe for concurrent
// use.
type Lot struct {
	window

	failed []*Entry // not yet judged, oldest first

	pause   pause
	parking parking
	ramp    ramp

	underWay  int
	decisions []Decision
}

// pause is what keeps attempts back that do not say that the endpoint is down.
type pause struct {
	held  bool
	until time.Time // a Retry-After
	alone bool      // the first attempt after it goes alone
}

// NewLot returns a Lot of which nothing is read. Attempts start from limit at a time;
// top is how many the webhook had at a time before.
func NewLot(limit, top int, now time.Time) *Lot {
	return &Lot{ramp: startRamp(limit, top, now)}
}

// UnderWay is how many attempts are.
func (l *Lot) UnderWay() int { return l.underWay }

// State is the state of a lot with entries.
func (l *Lot) State(now time.Time) State {
	switch {
	case l.pause.held:
		return Held
	case now.Before(l.pause.until):
		return Waiting
	case l.parking.parked:
		return Parked
	}
	return Draining
}

// Hold stops attempts: the webhook is suspended or disabled, or has no secret.
func (l *Lot) Hold() { l.pause.held = true }

// Release ends what Hold began, a Retry-After and the wait for the next probe: the
// webhook was resumed or enabled, has another url or secret, or somebody asked for a
// probe. An endpoint that was parked is probed at once.
func (l *Lot) Release(now time.Time) {
	l.pause.held, l.pause.until = false, time.Time{}
	l.parking.probeNow(now)
}

// Next returns the entry whose attempt may start now, or nil, and for a nil when to ask
// again at the latest; zero: not before something else happens.
func (l *Lot) Next(now time.Time) (next *Entry, again time.Time) {
	l.judge(false, now)
	switch l.State(now) {
	case Held:
		return nil, l.nextJudgement()
	case Waiting:
		return nil, earliest(l.pause.until, l.nextJudgement())
	case Parked:
		if l.parking.probing || l.pause.alone && l.underWay > 0 {
			return nil, time.Time{}
		}
		if now.Before(l.parking.nextProbe) {
			return nil, l.parking.nextProbe
		}
		next, again = l.nextProbe(now)
	default:
		if l.underWay >= l.ramp.limit || l.pause.alone && l.underWay > 0 {
			return nil, l.nextJudgement()
		}
		next, again = l.nextDue(now)
	}
	if next == nil {
		again = earliest(again, l.nextJudgement())
	}
	return next, again
}

// nextDue returns the oldest entry that is due, or when the first will be.
func (l *Lot) nextDue(now time.Time) (*Entry, time.Time) {
	var again time.Time
	for _, e := range l.startableEntries() {
		if e.state != waiting {
			continue
		}
		if e.isDue(now) {
			return e, time.Time{}
		}
		again = earliest(again, e.NotBefore)
	}
	return nil, again
}

// nextProbe returns the entry that is to be the next probe, or when the first will be
// due. Those without attempts say most about the endpoint: one with attempts may have
// failed while others succeeded. Of these it is the oldest that was a probe fewer than
// probesPerEntry times in this outage, and each time one has been so often the newest;
// else the one that was a probe the fewest times.
func (l *Lot) nextProbe(now time.Time) (*Entry, time.Time) {
	var oldest, newest, tried *Entry
	var again time.Time
	for _, e := range l.startableEntries() {
		switch {
		case e.state != waiting:
		case !e.isDue(now):
			again = earliest(again, e.NotBefore)
		case e.Attempts > 0 || e.probes >= probesPerEntry:
			if tried == nil || e.probes < tried.probes {
				tried = e
			}
		default:
			if oldest == nil {
				oldest = e
			}
			newest = e
		}
	}
	switch {
	case oldest == nil:
		return tried, again
	case l.parking.probes%(probesPerEntry+1) == probesPerEntry:
		return newest, again
	}
	return oldest, again
}

// Start notes that the attempt of an entry that Next returned begins, and whether it is
// a probe, which uses no attempt.
func (l *Lot) Start(e *Entry, now time.Time) (isProbe bool) {
	e.state, e.started, e.isProbe, e.failure = underWay, now, l.State(now) == Parked, failure{}
	l.underWay++
	if e.isProbe {
		e.probes++
		l.parking.probes++
		l.parking.probing = true
	}
	return e.isProbe
}

// End notes what came of an attempt.
func (l *Lot) End(e *Entry, result Result, now time.Time) {
	l.underWay--
	l.pause.alone = false
	if result.RetryAfter.After(now) {
		l.pause.until, l.pause.alone = result.RetryAfter, true
	}
	l.ramp.observe(result.Kind, e.started, now)
	l.countEnded(result.Kind == Succeeded)
	switch {
	case result.Kind == Succeeded:
		e.state = settled
	case result.Kind == Gone:
		l.decide(e, Disable, result)
	case l.parking.since.IsZero() || e.failsAlone(result.Kind):
		l.decide(e, Retry, result)
	default:
		l.fail(e, result, now)
	}
	wasParked := l.parking.parked
	l.parking.observe(e, result.Kind, now)
	if wasParked && !l.parking.parked {
		l.ramp = startRamp(1, l.ramp.top, now)
	}
	if l.parking.parked && !wasParked {
		for _, e := range l.entries {
			e.probes = 0
		}
	}
	l.judge(l.parking.parked, now)
	l.noteSettled(now)
}

// decide gives an entry to the caller, who calls Settle or Keep.
func (l *Lot) decide(e *Entry, kind DecisionKind, result Result) {
	e.state = moving
	l.decisions = append(l.decisions, Decision{Entry: e, Kind: kind, Result: result})
}

// Decisions returns what is to be done with entries since it was called last, and
// postpones the oldest one if it is not due and many behind it are settled.
func (l *Lot) Decisions(now time.Time) []Decision {
	l.judge(false, now)
	if first := l.firstUnsettled(); len(l.entries)-first > maxBehindWaiting {
		if e := l.entries[first]; e.state == waiting && !e.isDue(now) && l.settledBehind(first) >= maxBehindWaiting {
			l.decide(e, Postpone, Result{})
		}
	}
	decisions := l.decisions
	l.decisions = nil
	return decisions
}

// Settle notes that a Decision was carried out, durably.
func (l *Lot) Settle(e *Entry, now time.Time) {
	e.state = settled
	l.noteSettled(now)
}

// Keep notes that a Decision could not be carried out; the entry stays.
func (l *Lot) Keep(e *Entry) { l.wait(e) }

// Trimmed notes that the log was trimmed up to a message.
func (l *Lot) Trimmed(message uint64, now time.Time) {
	l.drop(message, now)
	if l.IsEmpty() {
		l.parking.forget()
	}
}
