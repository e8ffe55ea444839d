// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
)

// answer is what an attempt meets.
type answer struct {
	reason     dispatcher.Reason
	status     int
	takes      time.Duration
	retryAfter time.Duration // counted from the end of the attempt
	err        error         // of Prepare: no attempt takes place
}

// externalChange is something that changes from outside.
type externalChange struct {
	at     time.Duration
	change func(*simulation)
}

// startedAttempt is an attempt that was started.
type startedAttempt struct {
	Number int
	At     time.Duration
}

// story is what can be seen of a life from outside.
type story struct {
	Begun  []startedAttempt
	State  v1alpha1.DeliveryState
	Reason string
	Ended  time.Duration // CompletionTime; zero: not ended
}

// simulation takes one delivery from its creation to its end as the reconciler and
// the runner do, with a clock that jumps: nothing but fold and next decides.
type simulation struct {
	t       *testing.T
	s       deliveryScope
	answers []answer // the last one for ever
	flight  *answer
	number  int
	lands   time.Time
	begun   []startedAttempt
	writes  int
}

// live runs a delivery until the given time and returns its story.
func (l *simulation) live(until time.Duration, happenings ...externalChange) story {
	l.t.Helper()
	l.s.now = at(0)
	for range 10_000 {
		look := l.pass()
		next := at(until)
		if l.flight != nil {
			next = earliest(next, l.lands)
		}
		if !look.IsZero() && look.After(l.s.now) {
			next = earliest(next, look)
		}
		if len(happenings) > 0 {
			next = earliest(next, at(happenings[0].at))
		}
		if !next.Before(at(until)) {
			return l.story()
		}
		l.s.now = next
		switch {
		case len(happenings) > 0 && next.Equal(at(happenings[0].at)):
			happenings[0].change(l)
			happenings = happenings[1:]
		case l.flight != nil && next.Equal(l.lands):
			l.land()
		}
	}
	l.t.Fatal("the delivery finds no rest")
	return story{}
}

// pass is one reconcile: fold, write, next, act.
func (l *simulation) pass() time.Time {
	l.t.Helper()
	status := nextDeliveryStatus(l.s)
	if !equality.Semantic.DeepEqual(status, &l.s.delivery.Status) {
		l.writes++
		l.s.delivery.Status = *status
	}
	if l.s.outcome != nil {
		l.s.outcome, l.s.phase = nil, attempt.None
	}
	if again := nextDeliveryStatus(l.s); !equality.Semantic.DeepEqual(again, &l.s.delivery.Status) {
		l.t.Fatalf("a second pass at %s would write again: %+v", l.s.now, again)
	}
	p := nextPlan(l.s)
	if p.withdraw {
		l.s.phase = attempt.None
	}
	if p.start {
		l.start(p.number)
	}
	return p.lookAgain
}

// start is the runner with a place free: it prepares and sends at once.
func (l *simulation) start(number int) {
	l.t.Helper()
	if l.s.phase != attempt.None {
		l.t.Fatalf("attempt %d starts while another is %s", number, l.s.phase)
	}
	met := l.answers[0]
	if len(l.answers) > 1 {
		l.answers = l.answers[1:]
	}
	if met.err == nil {
		l.begun = append(l.begun, startedAttempt{number, l.s.now.Sub(at(0))})
	}
	l.flight, l.number, l.lands, l.s.phase = &met, number, l.s.now.Add(met.takes), attempt.UnderWay
}

func (l *simulation) land() {
	met := *l.flight
	l.flight, l.s.phase = nil, attempt.Finished
	outcome := attempt.Outcome{Number: l.number, Err: met.err}
	if met.err == nil {
		outcome.Result = dispatcher.Result{
			StartedAt: l.lands.Add(-met.takes), Duration: met.takes, StatusCode: met.status, Reason: met.reason,
		}
		if met.reason != dispatcher.ReasonNone {
			outcome.Result.Message = "it failed"
		}
		if met.retryAfter != 0 {
			outcome.Result.RetryAfter = l.lands.Add(met.retryAfter)
		}
	}
	l.s.outcome = &outcome
}

func (l *simulation) story() story {
	status := l.s.delivery.Status
	told := story{Begun: l.begun, State: status.State, Reason: succeededReason(l.s.delivery)}
	if status.CompletionTime != nil {
		told.Ended = status.CompletionTime.Sub(at(0))
	}
	return told
}

// newLife is that of someDelivery to someWebhook.
func newLife(t *testing.T, answers ...answer) *simulation {
	return &simulation{t: t, s: deliveryScope{delivery: someDelivery(), webhook: someWebhook()}, answers: answers}
}

var (
	taken  = answer{status: 200}
	broken = answer{status: 500, reason: dispatcher.ReasonHTTPStatus}
	gone   = answer{status: 410, reason: dispatcher.ReasonGone}
)
