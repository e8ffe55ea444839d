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
	ask := func(l *life) { asked("2026-03-01T13:00:00Z")(l.s.delivery) }
	suspend := func(l *life) { l.s.webhook.Spec.Suspend = true }
	disable := func(l *life) { l.s.disabled = true }
	slow := func(base answer) answer { base.takes = 10 * second; return base }
	exhausted := func(begun ...begun) story {
		return story{begun, v1alpha1.DeliveryFailed, v1alpha1.ReasonAttemptsExhausted, begun[len(begun)-1].At}
	}
	tests := []struct {
		name       string
		answers    []answer
		happenings []happening
		want       story
		message    string
	}{
		{
			"failed: one attempt that fails again", []answer{broken},
			[]happening{{hour, ask}},
			exhausted(append(table(), begun{6, hour})...), "it failed",
		},
		{
			"failed: one attempt that succeeds", []answer{broken, broken, broken, broken, broken, taken},
			[]happening{{hour, ask}},
			story{append(table(), begun{6, hour}), v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, hour}, "",
		},
		{
			"failed early by 410: still exactly one attempt", []answer{gone, broken},
			[]happening{{hour, ask}},
			exhausted(begun{1, 0}, begun{2, hour}), "it failed",
		},
		{
			"failed by its deadline: the deadline does not count", []answer{broken},
			[]happening{{0, func(l *life) { l.s.webhook.Spec.DeliveryDeadline = duration(second) }}, {hour, ask}},
			exhausted(begun{1, 0}, begun{2, hour}), "it failed",
		},
		{
			"retrying: the next attempt comes now, the others follow from it", []answer{broken},
			[]happening{{8 * second, ask}},
			exhausted(begun{1, 0}, begun{2, 5 * second}, begun{3, 8 * second}, begun{4, 53 * second}, begun{5, 173 * second}), "it failed",
		},
		{
			"in flight: nothing is added", []answer{slow(broken), taken},
			[]happening{{second, ask}},
			story{[]begun{{1, 0}, {2, 15 * second}}, v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 15 * second}, "",
		},
		{
			"in flight for the last time: nothing is added", []answer{slow(broken)},
			[]happening{{0, func(l *life) { l.s.webhook.Spec.RetryPolicy = delays() }}, {second, ask}},
			story{[]begun{{1, 0}}, v1alpha1.DeliveryFailed, v1alpha1.ReasonAttemptsExhausted, 10 * second}, "it failed",
		},
		{
			"succeeded: refused", []answer{taken},
			[]happening{{hour, ask}},
			story{table()[:1], v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 0}, "retry refused: it has succeeded",
		},
		{
			"failed and suspended: refused, also after resuming", []answer{broken},
			[]happening{{hour, suspend}, {hour, ask}, {2 * hour, func(l *life) { l.s.webhook.Spec.Suspend = false }}},
			exhausted(table()...), "retry refused: the webhook is suspended; resume it and ask again",
		},
		{
			"failed, asked by an empty annotation: said", []answer{broken},
			[]happening{{hour, func(l *life) {
				l.s.delivery.Annotations = map[string]string{v1alpha1.RetryRequestedAtAnnotation: ""}
			}}},
			exhausted(table()...), "retry refused: the annotation bbmcp.quietstack.com/retry-requested-at is empty, so nothing is done; give it a value that it has not had, such as the time",
		},
		{
			"failed and the webhook has members that nobody knows: refused", []answer{broken},
			[]happening{{hour, func(l *life) { l.s.webhook.Spec.UnknownMembers = []string{"filter"} }}, {hour, ask}},
			exhausted(table()...), "retry refused: the webhook has members that this version of the manager does not know; upgrade it and ask again",
		},
		{
			"failed and disabled: refused", []answer{broken},
			[]happening{{hour, disable}, {hour, ask}},
			exhausted(table()...), "retry refused: the webhook is disabled; enable it and ask again",
		},
		{
			"failed and the webhook is gone: refused", []answer{broken},
			[]happening{{hour, func(l *life) { l.s.webhook = nil }}, {hour, ask}},
			exhausted(table()...), "retry refused: its webhook does not exist",
		},
		{
			"failed and the webhook made anew: refused", []answer{broken},
			[]happening{{hour, func(l *life) { l.s.webhook.UID = "webhook-2" }}, {hour, ask}},
			exhausted(table()...), "retry refused: its webhook was deleted and made anew",
		},
		{
			"failed test event of a suspended webhook: one attempt", []answer{broken},
			[]happening{{0, func(l *life) { l.s.delivery.Spec.Test = true }}, {hour, suspend}, {hour, ask}},
			exhausted(append(table(), begun{6, hour})...), "it failed",
		},
		{
			"waiting on a suspended webhook: carried out when it is resumed", []answer{broken, taken},
			[]happening{{second, suspend}, {2 * second, ask}, {3 * second, func(l *life) { l.s.webhook.Spec.Suspend = false }}},
			story{[]begun{{1, 0}, {2, 3 * second}}, v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered, 3 * second}, "",
		},
		{
			"failed without a secret: one attempt once there is one", []answer{broken},
			[]happening{
				{hour, func(l *life) {
					l.s.signingProblem = &signingsecret.Problem{Reason: v1alpha1.ReasonSecretNotFound, Message: "not found", LookAgain: at(2 * hour)}
				}},
				{hour, ask},
				{2 * hour, func(l *life) { l.s.signingProblem = nil }},
			},
			exhausted(append(table(), begun{6, 2 * hour})...), "it failed",
		},
		{
			"as often as wanted", []answer{broken},
			[]happening{{hour, ask}, {2 * hour, func(l *life) { asked("again")(l.s.delivery) }}, {3 * hour, func(l *life) { asked("and again")(l.s.delivery) }}},
			exhausted(append(table(), begun{6, hour}, begun{7, 2 * hour}, begun{8, 3 * hour})...), "it failed",
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
	s := situation{delivery: someDelivery(asked("now")), webhook: someWebhook(), phase: attempt.Queued, now: at(hour)}
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
	got := l.live(10*hour, happening{hour, func(l *life) { asked(long)(l.s.delivery) }})
	same(t, got.Begun, append(table(), begun{6, time.Hour}))
}
