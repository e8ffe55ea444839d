// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/health"
)

// woken is one call to look at a webhook's status.
type woken struct {
	Webhook string
	After   time.Duration
}

// watched returns Observations whose clock shows now, and the calls they make.
func watched(now *time.Time) (*Observations, *[]woken) {
	o, calls := NewObservations(120*hour, func() time.Time { return *now }), &[]woken{}
	o.onChange(func(webhook types.NamespacedName, after time.Duration) {
		*calls = append(*calls, woken{webhook.Name, after})
	})
	return o, calls
}

func TestObservationsWakeWhenTheStateChanges(t *testing.T) {
	active := func(w *v1alpha1.Webhook) {
		w.Status.State, w.Status.LastSuccessTime = v1alpha1.WebhookActive, micro(-hour)
	}
	failing := func(w *v1alpha1.Webhook) {
		w.Status.State, w.Status.LastFailureTime, w.Status.FailingSinceTime = v1alpha1.WebhookFailing, micro(-hour), micro(-119*hour-59*minute)
	}
	tests := []struct {
		name     string
		webhook  *v1alpha1.Webhook
		outcome  health.Outcome
		want     time.Duration
		disabled bool
	}{
		{"the first outcome", someWebhook(), health.Succeeded, 0, false},
		{"one more success", someWebhook(active), health.Succeeded, statusInterval, false},
		{"the first failure", someWebhook(active), health.Failed, 0, false},
		{"one more failure", someWebhook(failing), health.Failed, statusInterval, false},
		{"a success after failures", someWebhook(failing), health.Succeeded, 0, false},
		{"a 410", someWebhook(active), health.Gone, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := at(0)
			o, calls := watched(&now)
			o.DeliveryFinished(tt.webhook, tt.outcome, now, true)
			same(t, *calls, []woken{{"orders", tt.want}})
			same(t, o.Disabled(tt.webhook), tt.disabled) // before any status says so
		})
	}
}

func TestFailedAttemptsWakeOnceTheyCount(t *testing.T) {
	now := at(0)
	o, calls := watched(&now)
	o.AttemptFailed(someWebhook(), at(-second))
	o.AttemptFailed(someWebhook(), at(-minute)) // heard of late
	fails := func(w *v1alpha1.Webhook) {
		w.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionEndpointHealthy, Reason: v1alpha1.ReasonAttemptsFailing}}
	}
	o.AttemptFailed(someWebhook(fails), at(-second)) // the status says so already
	o.AttemptFailed(someWebhook(func(w *v1alpha1.Webhook) { w.Status.State = v1alpha1.WebhookFailing }), at(-second))
	same(t, *calls, []woken{{"orders", 19 * second}, {"orders", 0}})

	*calls = nil
	recovering := someWebhook(fails, func(w *v1alpha1.Webhook) {
		w.Status.State, w.Status.LastSuccessTime = v1alpha1.WebhookActive, micro(-hour)
	})
	o.DeliveryFinished(recovering, health.Succeeded, now, true)
	same(t, *calls, []woken{{"orders", 0}})
}

// A webhook that collects without an end, as while it is suspended, has nothing
// else that would make anybody count what waits.
func TestANewDeliveryIsCountedWithinAMinute(t *testing.T) {
	now := at(0)
	o, calls := watched(&now)
	r := &DeliveryReconciler{Observations: o, pending: newPendingWrites(), Now: func() time.Time { return now }}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	r.watchDeliveries().Create(t.Context(), event.TypedCreateEvent[*v1alpha1.WebhookDelivery]{Object: someDelivery()}, queue)
	if len(*calls) != 1 || (*calls)[0].Webhook != someWebhook().Name || (*calls)[0].After != statusInterval {
		t.Errorf("got %+v", *calls)
	}
	r.watchDeliveries().Create(t.Context(), event.TypedCreateEvent[*v1alpha1.WebhookDelivery]{Object: someDelivery(), IsInInitialList: true}, queue)
	same(t, len(*calls), 1) // a new process looks at every webhook anyway
}

func TestFailuresTooFarApartDisable(t *testing.T) {
	now := at(0)
	o, calls := watched(&now)
	webhook := someWebhook()
	for _, after := range []time.Duration{0, 60 * hour, 119 * hour, 120 * hour} {
		now = at(after)
		o.DeliveryFinished(webhook, health.Failed, now, true)
		same(t, o.Disabled(webhook), after == 120*hour)
	}
	same(t, (*calls)[3].After, time.Duration(0))
	if never := NewObservations(0, func() time.Time { return now }); func() bool {
		never.DeliveryFinished(webhook, health.Failed, at(0), true)
		never.DeliveryFinished(webhook, health.Failed, now, true)
		return never.Disabled(webhook)
	}() {
		t.Error("0 must mean never")
	}
}

func TestCountersAreTakenOutOnce(t *testing.T) {
	now := at(0)
	o, _ := watched(&now)
	webhook := someWebhook()
	o.DeliveryFinished(webhook, health.Succeeded, now, true)
	o.DeliveryFinished(webhook, health.Failed, now, true)
	o.DeliveryFinished(webhook, health.Failed, now, false) // heard of again
	o.CountDelivery(webhook, v1alpha1.DeliverySucceeded)
	o.CountDelivery(webhook, v1alpha1.DeliveryFailed)
	news := o.snapshot(webhook)
	same(t, []int64{news.succeeded, news.failed}, []int64{2, 2})
	o.CountDelivery(webhook, v1alpha1.DeliverySucceeded) // while the status is being written
	o.acknowledge(webhook, news)
	news = o.snapshot(webhook)
	same(t, []int64{news.succeeded, news.failed}, []int64{1, 0})
}

func TestAWebhookMadeAnewStartsAfresh(t *testing.T) {
	now := at(0)
	o, _ := watched(&now)
	o.DeliveryFinished(someWebhook(), health.Gone, now, true)
	anew := someWebhook(func(w *v1alpha1.Webhook) { w.UID = "webhook-2" })
	same(t, o.Disabled(anew), false)
	o.DeliveryFinished(anew, health.Gone, now, true)
	o.Forget(client.ObjectKeyFromObject(anew))
	same(t, o.Disabled(anew), false)
}

// TestEnabling: a request to enable counts once its status is written, so that a
// stale cache that still shows it does not wipe a 410 that came later.
func TestEnabling(t *testing.T) {
	now := at(0)
	o, _ := watched(&now)
	gone := func(w *v1alpha1.Webhook) {
		w.Status.State, w.Status.LastFailureTime = v1alpha1.WebhookDisabled, micro(-hour)
		w.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionEndpointHealthy, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonEndpointGone}}
	}
	disabled := someWebhook(gone, func(w *v1alpha1.Webhook) {
		metav1.SetMetaDataAnnotation(&w.ObjectMeta, v1alpha1.EnableRequestedAtAnnotation, "now")
	})
	same(t, o.Disabled(disabled), true) // asked for, not carried out
	o.markEnabled(disabled, now)
	enabled := someWebhook(func(w *v1alpha1.Webhook) { w.Status.State, w.Status.EnabledTime = v1alpha1.WebhookActive, micro(0) })
	same(t, o.Disabled(enabled), false)
	now = at(second)
	o.DeliveryFinished(enabled, health.Gone, at(-minute), true) // was in flight
	same(t, o.Disabled(enabled), false)
	o.DeliveryFinished(enabled, health.Gone, now, true)
	same(t, o.Disabled(enabled), true)
}

func TestConfirmingARotation(t *testing.T) {
	now := at(0)
	o, calls := watched(&now)
	webhook := someWebhook()
	toNew := func(end time.Time) rotationObservation {
		return rotationObservation{current: signature.NewSecret(newSecret), end: end}
	}
	end, nextEnd := at(24*hour+500*time.Millisecond), at(48*hour)
	same(t, o.IsConfirmed(webhook, toNew(end)), false)
	o.ConfirmSecret(webhook, toNew(end))
	o.ConfirmSecret(webhook, toNew(end))
	same(t, *calls, []woken{{"orders", 0}})
	same(t, []bool{o.IsConfirmed(webhook, toNew(end)), o.IsConfirmed(webhook, toNew(nextEnd))}, []bool{true, false})
	// A new process knows it from the status, which has whole seconds.
	stored := someWebhook(func(w *v1alpha1.Webhook) {
		w.Status.Signing = &v1alpha1.SigningStatus{Primary: v1alpha1.SigningKeyCurrent, OverlapEndTime: new(metav1.NewTime(at(24 * hour)))}
	})
	again, _ := watched(&now)
	same(t, []bool{
		again.IsConfirmed(stored, toNew(end)), again.IsConfirmed(stored, toNew(nextEnd)), again.IsConfirmed(stored, toNew(time.Time{})),
	}, []bool{true, false, false})
}

// The owner of a Secret puts no end to an overlap, and rotates again without a
// pause between: the new secret is another one, and is not confirmed.
func TestConfirmingOneOfTwoRotationsWithoutAnEnd(t *testing.T) {
	now := at(0)
	o, calls := watched(&now)
	first, second := rotationObservation{current: signature.NewSecret(oldSecret)}, rotationObservation{current: signature.NewSecret(newSecret)}
	o.ConfirmSecret(someWebhook(), first)
	written := someWebhook(func(w *v1alpha1.Webhook) {
		w.Status.Signing = &v1alpha1.SigningStatus{Primary: v1alpha1.SigningKeyCurrent}
	})
	same(t, []bool{o.IsConfirmed(written, first), o.IsConfirmed(written, second)}, []bool{true, false})
	o.ConfirmSecret(written, second)
	same(t, len(*calls), 2)
	same(t, []bool{o.IsConfirmed(written, first), o.IsConfirmed(written, second)}, []bool{false, true})
	o.clearConfirmed(written)
	written.Status.Signing.Primary = ""
	same(t, o.IsConfirmed(written, second), false)
}

func TestHoldsAreWrittenOnceAMinute(t *testing.T) {
	now := at(0)
	o, calls := watched(&now)
	webhook := someWebhook()
	for _, until := range []time.Duration{second, hour, minute} {
		o.HoldRetryAfter(webhook, at(until))
	}
	same(t, *calls, []woken{{"orders", statusInterval}, {"orders", statusInterval}, {"orders", statusInterval}})
	same(t, o.snapshot(webhook).retryAfter, at(hour))
}
