// SPDX-License-Identifier: Apache-2.0

package backlog

import "time"

// parking is what the results of a lot say about its endpoint.
type parking struct {
	parked bool
	// since is when the lot was first parked since it was empty; zero: not at all.
	since time.Time

	interval  time.Duration // between the probes
	nextProbe time.Time
	probing   bool
	probes    int // in this outage

	unanswered int    // in a row
	recent     []bool // whether the last recentResults attempts succeeded
}

// observe takes the result of an attempt.
func (p *parking) observe(e *Entry, kind ResultKind, now time.Time) {
	if e.isProbe {
		p.probing = false
	}
	switch {
	case p.parked && kind == Succeeded: // of any attempt that was still under way, too
		p.parked, p.unanswered, p.recent = false, 0, nil
	case p.parked && e.isProbe:
		p.interval = min(p.interval+p.interval/2, MaxProbeInterval)
		p.nextProbe = now.Add(p.interval)
	case p.parked || e.failsAlone(kind):
	default:
		p.countResult(kind)
		if p.unanswered >= unansweredToPark || len(p.recent) == recentResults && p.successes() < successesToDrain {
			p.park(now)
		}
	}
}

func (p *parking) countResult(kind ResultKind) {
	if kind.isUnanswered() {
		p.unanswered++
	} else {
		p.unanswered = 0
	}
	if len(p.recent) == recentResults {
		p.recent = p.recent[1:]
	}
	p.recent = append(p.recent, kind == Succeeded)
}

func (p *parking) successes() (n int) {
	for _, succeeded := range p.recent {
		if succeeded {
			n++
		}
	}
	return n
}

func (p *parking) park(now time.Time) {
	p.parked, p.probes, p.interval, p.nextProbe = true, 0, FirstProbe, now.Add(FirstProbe)
	if p.since.IsZero() {
		p.since = now
	}
}

// probeNow makes the next probe due, and the ones after it as at first.
func (p *parking) probeNow(now time.Time) {
	if p.parked {
		p.interval, p.nextProbe = FirstProbe, now
	}
}

// forget forgets outages: the lot is empty.
func (p *parking) forget() { *p = parking{probing: p.probing} }
