// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// retrying is a delivery whose attempts began then and failed with a 500.
func retrying(began ...time.Duration) *v1alpha1.WebhookDelivery {
	return someDelivery(func(d *v1alpha1.WebhookDelivery) {
		d.Status.State, d.Status.Attempts = v1alpha1.DeliveryRetrying, int32(len(began))
		for i, when := range began {
			d.Status.AttemptLog = append(d.Status.AttemptLog, v1alpha1.Attempt{
				Number: int32(i + 1), StartTime: *micro(when), Reason: string(dispatcher.ReasonHTTPStatus), ResponseStatus: new(int32(500)),
			})
		}
	})
}

func TestUnfinished(t *testing.T) {
	failed := func(d *v1alpha1.WebhookDelivery) *v1alpha1.WebhookDelivery {
		d.Status.State = v1alpha1.DeliveryFailed
		return d
	}
	with := func(d *v1alpha1.WebhookDelivery, change func(*v1alpha1.WebhookDelivery)) *v1alpha1.WebhookDelivery {
		change(d)
		return d
	}
	type want struct {
		Count int64
		Since time.Time
		Text  string
	}
	tests := []struct {
		name       string
		deliveries []*v1alpha1.WebhookDelivery
		want       want
	}{
		{"none", nil, want{}},
		{"one that was not tried yet", []*v1alpha1.WebhookDelivery{someDelivery()}, want{Count: 1}},
		{"the earliest attempt and the newest count", []*v1alpha1.WebhookDelivery{retrying(-30*second, -9*second), retrying(-40*second, -second)},
			want{2, at(-40 * second), "HTTPStatus 500"}},
		{"not those before the last success", []*v1alpha1.WebhookDelivery{retrying(-2*minute, -30*second)}, want{1, at(-30 * second), "HTTPStatus 500"}},
		{"one that failed for good says only how", []*v1alpha1.WebhookDelivery{failed(retrying(-30 * second))}, want{0, time.Time{}, "HTTPStatus 500"}},
		{"a test event says nothing", []*v1alpha1.WebhookDelivery{with(retrying(-30*second), func(d *v1alpha1.WebhookDelivery) { d.Spec.Test = true })}, want{Count: 1}},
		{"one for a webhook that was made anew says nothing", []*v1alpha1.WebhookDelivery{with(retrying(-30*second), func(d *v1alpha1.WebhookDelivery) {
			d.OwnerReferences = []metav1.OwnerReference{{UID: "webhook-0", Controller: new(true)}}
		})}, want{Count: 1}},
		{"an attempt that was lost here says nothing", []*v1alpha1.WebhookDelivery{with(retrying(-30*second), func(d *v1alpha1.WebhookDelivery) {
			d.Status.AttemptLog[0].Reason, d.Status.AttemptLog[0].ResponseStatus = string(dispatcher.ReasonDispatcherLost), nil
		})}, want{Count: 1}},
		{"one that hung", []*v1alpha1.WebhookDelivery{with(retrying(-30*second), func(d *v1alpha1.WebhookDelivery) {
			d.Status.AttemptLog[0].Reason, d.Status.AttemptLog[0].ResponseStatus = string(dispatcher.ReasonTimeout), nil
		})}, want{1, at(-30 * second), "Timeout"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var u unfinished
			for _, delivery := range tt.deliveries {
				u.add(delivery, someWebhook(), at(-minute))
			}
			same(t, want{u.count, u.failedSince, failureText(u.latest)}, tt.want)
		})
	}
}

// An endpoint that takes a delivery now and then is not told of at each of them.
func TestFailingAttemptsAreWrittenOnceAMinute(t *testing.T) {
	condition := func(reason, message string) func(*v1alpha1.Webhook) {
		return func(w *v1alpha1.Webhook) {
			w.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionEndpointHealthy, Reason: reason, Message: message}}
		}
	}
	well, fails := condition(v1alpha1.ReasonDelivering, "fine"), condition(v1alpha1.ReasonAttemptsFailing, "HTTPStatus 500")
	r := &WebhookReconciler{}
	minor := func(when time.Duration, before, after func(*v1alpha1.Webhook)) bool {
		s := &webhookScope{webhook: someWebhook(before), now: at(when)}
		status := &someWebhook(after).Status
		isMinorStatus := r.isMinorStatus(s, status)
		if startsFailing(&s.webhook.Status, status) && !isMinorStatus {
			r.lastFailing.Store(client.ObjectKeyFromObject(s.webhook), s.now)
		}
		return isMinorStatus
	}
	same(t, minor(0, well, fails), false)
	same(t, minor(second, fails, condition(v1alpha1.ReasonAttemptsFailing, "Timeout")), true) // words
	same(t, minor(2*second, fails, well), false)                                              // good news at once
	same(t, minor(30*second, well, fails), true)
	same(t, minor(59*second, well, fails), true)
	same(t, minor(60*second, well, fails), false)
	same(t, minor(61*second, fails, condition(v1alpha1.ReasonDeliveriesFailing, "")), false)
}

// How the latest attempt failed is what a person needs: where a status says that
// the endpoint fails before that is known, it follows at once.
func TestTheFirstFailureReasonIsWrittenAtOnce(t *testing.T) {
	failing := func(message string) *v1alpha1.Webhook {
		return someWebhook(func(w *v1alpha1.Webhook) {
			w.Status.Conditions = []metav1.Condition{{
				Type: v1alpha1.ConditionEndpointHealthy, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonDeliveriesFailing, Message: message,
			}}
		})
	}
	unknown := "a delivery has failed"
	known, other := unknown+latestFailurePrefix+"HTTPStatus 500", unknown+latestFailurePrefix+"Timeout"
	r := &WebhookReconciler{}
	for _, tt := range []struct {
		before, after string
		want          bool
	}{{unknown, known, false}, {known, other, true}, {known, unknown, true}, {unknown, unknown, true}} {
		if got := r.isMinorStatus(&webhookScope{webhook: failing(tt.before), now: at(0)}, &failing(tt.after).Status); got != tt.want {
			t.Errorf("from %q to %q: minor is %t", tt.before, tt.after, got)
		}
	}
}

// The cache may show the failed attempt of a delivery after its outcome is observed, and
// a delivery that shows wakes no webhook.
func TestAFailureThatTheCacheDoesNotShowIsLookedForAgain(t *testing.T) {
	timedOut := v1alpha1.Attempt{Reason: "Timeout"}
	for name, tt := range map[string]struct {
		latest v1alpha1.Attempt
		failed time.Duration // ago
		isSoon bool
	}{
		"a failure of just now that is not known": {v1alpha1.Attempt{}, second, true},
		"a failure of just now that is known":     {timedOut, second, false},
		"a failure whose delivery was deleted":    {v1alpha1.Attempt{}, 61 * second, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := &WebhookReconciler{Observations: NewObservations(0, func() time.Time { return at(0) })}
			webhook := someWebhook(func(w *v1alpha1.Webhook) { w.Status.LastFailureTime = microTime(at(-tt.failed)) })
			s := &webhookScope{webhook: webhook, now: at(0), urlChecked: true, unfinished: unfinished{latest: tt.latest}}
			if got := r.requeueDelay(s); (got <= second) != tt.isSoon {
				t.Errorf("the next pass is due after %s", got)
			}
		})
	}
}
