// SPDX-License-Identifier: Apache-2.0

package backlog

import (
	"slices"
	"time"
)

// failure is that of an attempt which is not yet judged: it may be about the delivery,
// or about the endpoint, which may be down again. What the next attempts say decides.
type failure struct {
	result     Result
	at         time.Time
	endedSince int  // attempts
	succeeded  bool // one of these
}

func (l *Lot) fail(e *Entry, result Result, now time.Time) {
	e.state, e.failure = failed, failure{result: result, at: now}
	l.failed = append(l.failed, e)
}

// countEnded counts an attempt for the failures that came before it.
func (l *Lot) countEnded(succeeded bool) {
	for _, e := range l.failed {
		e.failure.endedSince++
		e.failure.succeeded = e.failure.succeeded || succeeded
	}
}

// judge decides about failures after which enough attempts have ended, or enough time
// has gone by; all: about every one.
func (l *Lot) judge(all bool, now time.Time) {
	l.failed = slices.DeleteFunc(l.failed, func(e *Entry) bool {
		ready := all || e.failure.endedSince >= judgedAfter || !now.Before(e.failure.at.Add(judgeWithin))
		switch {
		case ready && e.failure.succeeded: // others succeeded: it is about the delivery
			l.decide(e, Retry, e.failure.result)
		case ready: // nothing did: it is about the endpoint, and was no attempt
			l.wait(e)
		}
		return ready
	})
}

// nextJudgement is when a failure is judged at the latest; zero: there is none.
func (l *Lot) nextJudgement() time.Time {
	if len(l.failed) == 0 {
		return time.Time{}
	}
	return l.failed[0].failure.at.Add(judgeWithin)
}
