// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// TestRetryByHandInEveryState asks for a retry once, at some point of a life.
func TestRetryByHandInEveryState(t *testing.T) {
	ask := func(l *simulation) { asked("2026-03-01T13:00:00Z")(l.s.delivery) }
	suspend := func(l *simulation) { l.s.webhook.Spec.Suspend = true }
	disable := func(l *simulation) { l.s.disabled = true }
	slow := func(base answer) answer { base.takes = 10 * second; return base }
	exhausted := func(begun ...startedAttempt) story {
		return story{begun, v1alpha1.DeliveryFailed, v1alpha1.ReasonAttemptsExhausted, begun[len(begun)-1].At}
	}
	tests := []struct {
		name       string
		answers    []answer
		happenings []externalChange
		want       story
		message    string
	}{
		{
			"failed: one attempt that fails again", []answer{broken},
			[]externalChange{{hour, ask}},
			exhausted(append(table(), startedAttempt{6, hour})...), "it failed",
		},
		{
			"failed: one attempt that succeeds", []answer{broken, broken, broken, broken, broken, taken},
			[]externalChange{{hour, ask}},
			story{append(table(), startedAttempt{6, hour}), v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, hour}, "",
		},
		{
			"failed early by 410: still exactly one attempt", []answer{gone, broken},
			[]externalChange{{hour, ask}},
			exhausted(startedAttempt{1, 0}, startedAttempt{2, hour}), "it failed",
		},
		{
			"failed by its deadline: the deadline does not count", []answer{broken},
			[]externalChange{{0, func(l *simulation) { l.s.webhook.Spec.DeliveryDeadline = duration(second) }}, {hour, ask}},
			exhausted(startedAttempt{1, 0}, startedAttempt{2, hour}), "it failed",
		},
		{
			"retrying: the next attempt comes now, the others follow from it", []answer{broken},
			[]externalChange{{8 * second, ask}},
			exhausted(startedAttempt{1, 0}, startedAttempt{2, 5 * second}, startedAttempt{3, 8 * second}, startedAttempt{4, 53 * second}, startedAttempt{5, 173 * second}), "it failed",
		},
		{
			"in flight: nothing is added", []answer{slow(broken), taken},
			[]externalChange{{second, ask}},
			story{[]startedAttempt{{1, 0}, {2, 15 * second}}, v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 15 * second}, "",
		},
		{
			"in flight for the last time: nothing is added", []answer{slow(broken)},
			[]externalChange{{0, func(l *simulation) { l.s.webhook.Spec.RetryPolicy = delays() }}, {second, ask}},
			story{[]startedAttempt{{1, 0}}, v1alpha1.DeliveryFailed, v1alpha1.ReasonAttemptsExhausted, 10 * second}, "it failed",
		},
		{
			"succeeded: refused", []answer{taken},
			[]externalChange{{hour, ask}},
			story{table()[:1], v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 0}, "retry refused: it has succeeded",
		},
		{
			"failed and suspended: refused, also after resuming", []answer{broken},
			[]externalChange{{hour, suspend}, {hour, ask}, {2 * hour, func(l *simulation) { l.s.webhook.Spec.Suspend = false }}},
			exhausted(table()...), "retry refused: the webhook is suspended; resume it and ask again",
		},
		{
			"failed, asked by an empty annotation: said", []answer{broken},
			[]externalChange{{hour, func(l *simulation) {
				l.s.delivery.Annotations = map[string]string{v1alpha1.RetryRequestedAtAnnotation: ""}
			}}},
			exhausted(table()...), "retry refused: the annotation bbmcp.quietstack.com/retry-requested-at is empty, so nothing is done; give it a value that it has not had, such as the time",
		},
		{
			"failed and the webhook has members that nobody knows: refused", []answer{broken},
			[]externalChange{{hour, func(l *simulation) { l.s.webhook.Spec.UnknownMembers = []string{"filter"} }}, {hour, ask}},
			exhausted(table()...), "retry refused: the webhook has members that this version of the manager does not know; upgrade it and ask again",
		},
		{
			"failed and disabled: refused", []answer{broken},
			[]externalChange{{hour, disable}, {hour, ask}},
			exhausted(table()...), "retry refused: the webhook is disabled; enable it and ask again",
		},
		{
			"failed and the webhook is gone: refused", []answer{broken},
			[]externalChange{{hour, func(l *simulation) { l.s.webhook = nil }}, {hour, ask}},
			exhausted(table()...), "retry refused: its webhook does not exist",
		},
		{
			"failed and the webhook made anew: refused", []answer{broken},
			[]externalChange{{hour, func(l *simulation) { l.s.webhook.UID = "webhook-2" }}, {hour, ask}},
			exhausted(table()...), "retry refused: its webhook was deleted and made anew",
		},
		{
			"failed test event of a suspended webhook: one attempt", []answer{broken},
			[]externalChange{{0, func(l *simulation) { l.s.delivery.Spec.Test = true }}, {hour, suspend}, {hour, ask}},
			exhausted(append(table(), startedAttempt{6, hour})...), "it failed",
		},
		{
			"waiting on a suspended webhook: carried out when it is resumed", []answer{broken, taken},
			[]externalChange{{second, suspend}, {2 * second, ask}, {3 * second, func(l *simulation) { l.s.webhook.Spec.Suspend = false }}},
			story{[]startedAttempt{{1, 0}, {2, 3 * second}}, v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 3 * second}, "",
		},
		{
			"failed without a secret: one attempt once there is one", []answer{broken},
			[]externalChange{
				{hour, func(l *simulation) {
					l.s.signingProblem = &signingsecret.Problem{Reason: v1alpha1.ReasonSecretNotFound, Message: "not found", LookAgain: at(2 * hour)}
				}},
				{hour, ask},
				{2 * hour, func(l *simulation) { l.s.signingProblem = nil }},
			},
			exhausted(append(table(), startedAttempt{6, 2 * hour})...), "it failed",
		},
		{
			"as often as wanted", []answer{broken},
			[]externalChange{{hour, ask}, {2 * hour, func(l *simulation) { asked("again")(l.s.delivery) }}, {3 * hour, func(l *simulation) { asked("and again")(l.s.delivery) }}},
			exhausted(append(table(), startedAttempt{6, hour}, startedAttempt{7, 2 * hour}, startedAttempt{8, 3 * hour})...), "it failed",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLife(t, tt.answers...)
			for len(tt.happenings) > 0 && tt.happenings[0].at == 0 {
				tt.happenings[0].change(l)
				tt.happenings = tt.happenings[1:]
			}
			same(t, l.live(10*hour, tt.happenings...), tt.want)
			same(t, l.s.delivery.Status.ErrorMessage, tt.message)
			if wanted := retryRequested(l.s.delivery, &l.s.delivery.Status); wanted {
				t.Error("the request still waits to be handled")
			}
		})
	}
}

// TestRetryRefusedWhileQueued: a retry by hand waits for its turn when its
// webhook is suspended. It is refused and leaves the queue.
func TestRetryRefusedWhileQueued(t *testing.T) {
	s := deliveryScope{delivery: someDelivery(asked("now")), webhook: someWebhook(), phase: attempt.Queued, now: at(hour)}
	s.delivery.Status = v1alpha1.WebhookDeliveryStatus{State: v1alpha1.DeliveryFailed, Attempts: 5, CompletionTime: micro(minute)}
	same(t, nextPlan(s), plan{number: 6})
	s.webhook.Spec.Suspend = true
	status := nextDeliveryStatus(s)
	same(t, *status, v1alpha1.WebhookDeliveryStatus{
		State: v1alpha1.DeliveryFailed, Attempts: 5, CompletionTime: micro(minute), LastHandledRetryAt: "now",
		ErrorMessage: "retry refused: the webhook is suspended; resume it and ask again",
	})
	s.delivery.Status = *status
	same(t, nextPlan(s), plan{withdraw: true})
}

func TestLongRetryRequestIsHandledOnce(t *testing.T) {
	l := newLife(t, broken)
	long := string(make([]byte, 0, 300))
	for len(long) < 300 {
		long += "2026-"
	}
	got := l.live(10*hour, externalChange{hour, func(l *simulation) { asked(long)(l.s.delivery) }})
	same(t, got.Begun, append(table(), startedAttempt{6, time.Hour}))
}
