// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"slices"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

// table is the schedule of the contract, without the attempts' own time.
func table() []startedAttempt {
	return []startedAttempt{{1, 0}, {2, 5 * second}, {3, 20 * second}, {4, 65 * second}, {5, 185 * second}}
}

func TestRetryTableForEveryOutcome(t *testing.T) {
	type test struct {
		name    string
		answers []answer
		want    story
	}
	tests := []test{
		{"accepted at once", []answer{taken}, story{table()[:1], v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 0}},
		{"accepted at the second attempt", []answer{broken, taken}, story{table()[:2], v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 5 * second}},
		{"accepted at the last attempt", []answer{broken, broken, broken, broken, taken}, story{table(), v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 185 * second}},
		{"410 at the first attempt", []answer{gone}, story{table()[:1], v1alpha1.DeliveryFailed, v1alpha1.ReasonEndpointGone, 0}},
		{"410 at the third attempt", []answer{broken, broken, gone}, story{table()[:3], v1alpha1.DeliveryFailed, v1alpha1.ReasonEndpointGone, 20 * second}},
		{"lost at first, then refused", []answer{{reason: dispatcher.ReasonDispatcherLost}, broken}, story{table(), v1alpha1.DeliveryFailed, v1alpha1.ReasonAttemptsExhausted, 185 * second}},
	}
	for _, reason := range dispatcher.Reasons() {
		want := story{table(), v1alpha1.DeliveryFailed, v1alpha1.ReasonAttemptsExhausted, 185 * second}
		switch reason {
		case dispatcher.ReasonGone:
			continue
		case dispatcher.ReasonDispatcherLost:
			want.Reason = v1alpha1.ReasonDispatcherLost
		}
		tests = append(tests, test{"every attempt fails: " + string(reason), []answer{{reason: reason}}, want})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLife(t, tt.answers...)
			same(t, l.live(100*hour), tt.want)
			if l.writes != len(tt.want.Begun) {
				t.Errorf("%d status writes for %d attempts", l.writes, len(tt.want.Begun))
			}
		})
	}
}

func TestDelaysCountFromTheEndOfAnAttempt(t *testing.T) {
	timeout := answer{reason: dispatcher.ReasonTimeout, takes: 10 * second}
	got := newLife(t, timeout).live(100 * hour)
	same(t, got, story{
		[]startedAttempt{{1, 0}, {2, 15 * second}, {3, 40 * second}, {4, 95 * second}, {5, 225 * second}},
		v1alpha1.DeliveryFailed, v1alpha1.ReasonAttemptsExhausted, 235 * second,
	})
}

func TestPoliciesOfWebhooks(t *testing.T) {
	jitter := func(attempt int, delay time.Duration) time.Duration {
		return (delay + time.Duration(float64(delay)*0.5*retry.Jitter("delivery-1", attempt))).Truncate(time.Microsecond)
	}
	nineteen := slices.Repeat([]time.Duration{24 * hour}, 19)
	daily := make([]startedAttempt, 20)
	for i := range daily {
		daily[i] = startedAttempt{i + 1, time.Duration(i) * 24 * hour}
	}
	tests := []struct {
		name     string
		policy   *v1alpha1.RetryPolicy
		deadline time.Duration
		want     []startedAttempt
	}{
		{"no delays mean one attempt", delays(), 0, table()[:1]},
		{"unset delays mean the table", &v1alpha1.RetryPolicy{Timeout: duration(second)}, 0, table()},
		{"delays of its own", delays(second, 10*second), 0, []startedAttempt{{1, 0}, {2, second}, {3, 11 * second}}},
		{"a delay of nothing", delays(0), 0, []startedAttempt{{1, 0}, {2, 0}}},
		{"nineteen delays of a day", delays(nineteen...), 720 * hour, daily},
		{
			"jitter lengthens each delay by its own share",
			&v1alpha1.RetryPolicy{Delays: delays(10*second, minute).Delays, JitterPercent: new(int32(50))}, 0,
			[]startedAttempt{{1, 0}, {2, jitter(1, 10*second)}, {3, jitter(1, 10*second) + jitter(2, minute)}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLife(t, broken)
			l.s.webhook.Spec.RetryPolicy = tt.policy
			if tt.deadline > 0 {
				l.s.webhook.Spec.DeliveryDeadline = duration(tt.deadline)
			}
			last := tt.want[len(tt.want)-1].At
			same(t, l.live(1000*hour), story{tt.want, v1alpha1.DeliveryFailed, v1alpha1.ReasonAttemptsExhausted, last})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	throttled := func(after time.Duration) answer {
		return answer{status: 429, reason: dispatcher.ReasonThrottled, retryAfter: after}
	}
	tests := []struct {
		name    string
		answers []answer
		want    []startedAttempt
	}{
		{"later than the policy's time wins", []answer{throttled(minute), taken}, []startedAttempt{{1, 0}, {2, minute}}},
		{"earlier than the policy's time does not", []answer{throttled(second), taken}, []startedAttempt{{1, 0}, {2, 5 * second}}},
		{"counts from the end of the attempt", []answer{{status: 503, reason: dispatcher.ReasonThrottled, takes: 2 * second, retryAfter: minute}, taken}, []startedAttempt{{1, 0}, {2, 62 * second}}},
		{"reaches one hour ahead at most", []answer{throttled(20 * hour), taken}, []startedAttempt{{1, 0}, {2, hour}}},
		{"adds no attempt", []answer{broken, broken, broken, broken, throttled(minute)}, table()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			same(t, newLife(t, tt.answers...).live(100*hour).Begun, tt.want)
		})
	}
}

func TestDeadline(t *testing.T) {
	slow := func(base answer) answer { base.takes = 30 * second; return base }
	tests := []struct {
		name    string
		change  func(*simulation)
		answers []answer
		want    story
	}{
		{
			"ends the waiting at its very moment", func(l *simulation) { l.s.webhook.Spec.DeliveryDeadline = duration(minute) }, []answer{broken},
			story{table()[:3], v1alpha1.DeliveryFailed, v1alpha1.ReasonDeadlineExceeded, minute},
		},
		{
			"lets an attempt in flight fail first", func(l *simulation) { l.s.webhook.Spec.DeliveryDeadline = duration(25 * second) }, []answer{broken, broken, slow(broken)},
			story{table()[:3], v1alpha1.DeliveryFailed, v1alpha1.ReasonDeadlineExceeded, 50 * second},
		},
		{
			"lets an attempt in flight succeed", func(l *simulation) { l.s.webhook.Spec.DeliveryDeadline = duration(25 * second) }, []answer{broken, broken, slow(taken)},
			story{table()[:3], v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 50 * second},
		},
		{
			"counts from the acceptance of the event", func(l *simulation) {
				l.s.webhook.Spec.DeliveryDeadline = duration(minute)
				l.s.delivery.Spec.AcceptedTime = micro(-50 * second)
			}, []answer{broken},
			story{table()[:2], v1alpha1.DeliveryFailed, v1alpha1.ReasonDeadlineExceeded, 10 * second},
		},
		{
			"is 72 h unless the webhook says otherwise", func(l *simulation) { l.s.webhook.Spec.Suspend = true }, []answer{taken},
			story{nil, v1alpha1.DeliveryFailed, v1alpha1.ReasonDeadlineExceeded, 72 * hour},
		},
		{
			"ends the waiting for a secret", func(l *simulation) {
				l.s.signingProblem = &signingsecret.Problem{Reason: v1alpha1.ReasonSecretNotFound, Message: "not found", LookAgain: at(1000 * hour)}
			}, []answer{taken},
			story{nil, v1alpha1.DeliveryFailed, v1alpha1.ReasonDeadlineExceeded, 72 * hour},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLife(t, tt.answers...)
			tt.change(l)
			same(t, l.live(2000*hour), tt.want)
		})
	}
}

func TestHoldAndRelease(t *testing.T) {
	suspend := func(l *simulation) { l.s.webhook.Spec.Suspend = true }
	resume := func(l *simulation) { l.s.webhook.Spec.Suspend = false }
	tests := []struct {
		name    string
		test    bool
		changes []externalChange
		want    []startedAttempt
	}{
		{"suspended before the first attempt", false, []externalChange{{0, suspend}, {hour, resume}}, []startedAttempt{{1, hour}, {2, hour + 5*second}}},
		{"suspended while it waits, resumed before it is due", false, []externalChange{{second, suspend}, {2 * second, resume}}, []startedAttempt{{1, 0}, {2, 5 * second}}},
		{"suspended while it waits, resumed long after", false, []externalChange{{second, suspend}, {minute, resume}}, []startedAttempt{{1, 0}, {2, minute}}},
		{"disabled and enabled", false, []externalChange{{second, func(l *simulation) { l.s.disabled = true }}, {minute, func(l *simulation) { l.s.disabled = false }}}, []startedAttempt{{1, 0}, {2, minute}}},
		{"a test event goes out while suspended and disabled", true, []externalChange{{0, func(l *simulation) { suspend(l); l.s.disabled = true }}}, []startedAttempt{{1, 0}, {2, 5 * second}}},
		{"a Webhook that appears within the hour", false, []externalChange{{0, func(l *simulation) { l.s.webhook = nil }}, {59 * minute, func(l *simulation) { l.s.webhook = someWebhook() }}}, []startedAttempt{{1, 59 * minute}, {2, 59*minute + 5*second}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLife(t, broken, taken)
			l.s.delivery.Spec.Test = tt.test
			first := tt.changes[0]
			if first.at == 0 { // as found, not as changed
				first.change(l)
				tt.changes = tt.changes[1:]
			}
			got := l.live(71*hour, tt.changes...)
			same(t, got, story{tt.want, v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, tt.want[1].At})
		})
	}
}

func TestNoWebhookWithinAnHour(t *testing.T) {
	l := newLife(t, taken)
	l.s.webhook = nil
	same(t, l.live(100*hour), story{nil, v1alpha1.DeliveryFailed, v1alpha1.ReasonWebhookNotFound, hour})
}

func TestMissingSecretUsesUpNoAttempt(t *testing.T) {
	missing := &signingsecret.Problem{Reason: v1alpha1.ReasonSecretNotFound, Message: "not found", LookAgain: at(15 * second)}
	l := newLife(t, answer{err: missing}, answer{err: missing}, broken, taken)
	// The reader of secrets forgets a problem once it is time to look again.
	got := l.live(
		hour,
		externalChange{0, func(l *simulation) { l.s.signingProblem = missing }},
		externalChange{15 * second, func(l *simulation) { l.s.signingProblem = nil }},
		externalChange{15 * second, func(l *simulation) {
			missing.LookAgain = at(45 * second)
			l.s.signingProblem = missing
		}},
		externalChange{45 * second, func(l *simulation) { l.s.signingProblem = nil }},
	)
	same(t, got, story{[]startedAttempt{{1, 45 * second}, {2, 50 * second}}, v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 50 * second})
}

func TestFailureToPrepareUsesUpNoAttempt(t *testing.T) {
	l := newLife(t, answer{err: errors.New("the API server is away"), takes: second}, taken)
	same(t, l.live(hour), story{[]startedAttempt{{1, second}}, v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, second})
}

// TestHandOver: the gateway creates a delivery, makes its first attempt itself
// and writes what came of it; notBefore keeps the controller away meanwhile.
func TestHandOver(t *testing.T) {
	settled := func(l *simulation) { l.s.delivery.Status = failedOnce() }
	tests := []struct {
		name       string
		happenings []externalChange
		want       []startedAttempt
	}{
		{"the gateway died: the controller takes over then", nil, []startedAttempt{{1, 15 * second}, {2, 20 * second}}},
		{"the gateway settled a failure: the policy goes on", []externalChange{{second, settled}}, []startedAttempt{{2, 5500 * time.Millisecond}}},
		{"a retry asked for meanwhile adds nothing", []externalChange{{second, func(l *simulation) { asked("now")(l.s.delivery) }}}, []startedAttempt{{1, 15 * second}, {2, 20 * second}}},
		{"suspended meanwhile", []externalChange{{second, func(l *simulation) { l.s.webhook.Spec.Suspend = true }}, {minute, func(l *simulation) { l.s.webhook.Spec.Suspend = false }}}, []startedAttempt{{1, minute}, {2, minute + 5*second}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLife(t, broken, taken)
			if len(tt.want) == 1 {
				l.answers = []answer{taken}
			}
			l.s.delivery.Spec.NotBefore = micro(15 * second)
			same(t, l.live(hour, tt.happenings...).Begun, tt.want)
		})
	}
}

func TestNothingIsWrittenBeforeTheHandOver(t *testing.T) {
	for name, change := range map[string]func(*deliveryScope){
		"suspended": func(s *deliveryScope) { s.webhook.Spec.Suspend = true },
		"disabled":  func(s *deliveryScope) { s.disabled = true },
		"without a secret": func(s *deliveryScope) {
			s.signingProblem = &signingsecret.Problem{Message: "not found", LookAgain: at(minute)}
		},
		"without a webhook":       func(s *deliveryScope) { s.webhook = nil },
		"with a webhook replaced": func(s *deliveryScope) { s.webhook.UID = "webhook-2" },
		"asked for":               func(s *deliveryScope) { asked("now")(s.delivery) },
	} {
		t.Run(name, func(t *testing.T) {
			s := deliveryScope{delivery: someDelivery(), webhook: someWebhook(), now: at(second)}
			s.delivery.Spec.NotBefore = micro(15 * second)
			change(&s)
			same(t, *nextDeliveryStatus(s), v1alpha1.WebhookDeliveryStatus{})
			same(t, nextPlan(s), plan{lookAgain: at(15 * second)})
		})
	}
}

func TestNotBeforeByHand(t *testing.T) {
	l := newLife(t, taken)
	l.s.delivery.Spec.NotBefore = micro(1000 * hour)
	same(t, l.live(2000*hour), story{[]startedAttempt{{1, hour}}, v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, hour})
}
