// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

// finishedAt is a delivery of the gateway that finished so long after the
// beginning, with a payload of 100 bytes.
func finishedAt(name string, state v1alpha1.DeliveryState, after time.Duration, changes ...func(*v1alpha1.WebhookDelivery)) *v1alpha1.WebhookDelivery {
	return someDelivery(append([]func(*v1alpha1.WebhookDelivery){func(d *v1alpha1.WebhookDelivery) {
		d.Name, d.UID, d.ResourceVersion = name, types.UID(name), "1"
		d.Spec.Payload = strings.Repeat("x", 100)
		d.Status = v1alpha1.WebhookDeliveryStatus{State: state, Attempts: 1, CompletionTime: micro(after)}
	}}, changes...)...)
}

func byHand(d *v1alpha1.WebhookDelivery) { d.Labels = nil }

func ttl(after time.Duration) func(*v1alpha1.WebhookDelivery) {
	return func(d *v1alpha1.WebhookDelivery) { d.Spec.TTLAfterFinished = duration(after) }
}

// keeper returns a Retainer that knows the webhook and whose clock shows now.
func keeper(t *testing.T, limits RetentionLimits, webhook *v1alpha1.Webhook, now time.Time) *Retainer {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return now }
	return &Retainer{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(webhook).Build(),
		Limits: limits, WriteTimeouts: writetimeout.New(clock), Observations: NewObservations(0, clock), Now: clock,
	}
}

func TestRetentionBounds(t *testing.T) {
	const succeeded, failed = v1alpha1.DeliverySucceeded, v1alpha1.DeliveryFailed
	wide := RetentionLimits{Succeeded: hour, Failed: 168 * hour, MaxCount: 1000, MaxBytes: 1 << 20}
	tests := []struct {
		name       string
		limits     func(*RetentionLimits)
		own        *v1alpha1.Retention
		deliveries []*v1alpha1.WebhookDelivery
		now        time.Duration
		want       []string // oldest first
	}{
		{
			name:       "age has a bound for each state",
			deliveries: []*v1alpha1.WebhookDelivery{finishedAt("s1", succeeded, 0), finishedAt("s2", succeeded, second), finishedAt("f1", failed, 0)},
			now:        hour, want: []string{"s1"},
		},
		{
			name:       "the age of failed ones",
			deliveries: []*v1alpha1.WebhookDelivery{finishedAt("f2", failed, second), finishedAt("f1", failed, 0)},
			now:        168 * hour, want: []string{"f1"},
		},
		{
			name: "number, of each state, the oldest go", limits: func(l *RetentionLimits) { l.MaxCount = 2 },
			deliveries: []*v1alpha1.WebhookDelivery{
				finishedAt("s4", succeeded, 4*second), finishedAt("f1", failed, second), finishedAt("f5", failed, 5*second),
				finishedAt("s2", succeeded, 2*second), finishedAt("s3", succeeded, 3*second), finishedAt("f0", failed, 0),
			},
			now: minute, want: []string{"s2", "f0"},
		},
		{
			name: "bytes, the oldest go, and what failed goes last", limits: func(l *RetentionLimits) { l.MaxBytes = 250 },
			deliveries: []*v1alpha1.WebhookDelivery{
				finishedAt("f1", failed, 1), finishedAt("s2", succeeded, 2), finishedAt("f3", failed, 3), finishedAt("s4", succeeded, 4), finishedAt("f5", failed, 5),
			},
			want: []string{"s2", "s4", "f1"},
		},
		{
			name: "nothing is kept if the number is 0", own: &v1alpha1.Retention{MaxCount: new(int32(0))},
			deliveries: []*v1alpha1.WebhookDelivery{finishedAt("s1", succeeded, 1), finishedAt("f2", failed, 2)},
			want:       []string{"s1", "f2"},
		},
		{
			name: "a webhook's own ages", own: &v1alpha1.Retention{Succeeded: duration(2 * minute), Failed: duration(minute)},
			deliveries: []*v1alpha1.WebhookDelivery{finishedAt("s1", succeeded, 0), finishedAt("f2", failed, 0)},
			now:        minute, want: []string{"f2"},
		},
		{
			name: "a webhook's own ages do not exceed the operator's", own: &v1alpha1.Retention{Succeeded: duration(720 * hour), Failed: duration(720 * hour)},
			deliveries: []*v1alpha1.WebhookDelivery{finishedAt("s1", succeeded, 0), finishedAt("f2", failed, 0)},
			now:        168 * hour, want: []string{"s1", "f2"},
		},
		{
			name: "a webhook's own number", own: &v1alpha1.Retention{MaxCount: new(int32(1))},
			deliveries: []*v1alpha1.WebhookDelivery{finishedAt("s1", succeeded, 1), finishedAt("s2", succeeded, 2)},
			want:       []string{"s1"},
		},
		{
			name: "a webhook's own number does not exceed the operator's", limits: func(l *RetentionLimits) { l.MaxCount = 1 }, own: &v1alpha1.Retention{MaxCount: new(int32(10))},
			deliveries: []*v1alpha1.WebhookDelivery{finishedAt("s1", succeeded, 1), finishedAt("s2", succeeded, 2)},
			want:       []string{"s1"},
		},
		{
			name:       "what was applied by hand stays, however old",
			limits:     func(l *RetentionLimits) { l.MaxCount, l.MaxBytes = 0, 0 },
			deliveries: []*v1alpha1.WebhookDelivery{finishedAt("s1", succeeded, 0, byHand), finishedAt("f2", failed, 0, byHand)},
			now:        10000 * hour,
		},
		{
			name:       "what was applied by hand goes when its own time is over",
			deliveries: []*v1alpha1.WebhookDelivery{finishedAt("s1", succeeded, 0, byHand, ttl(minute)), finishedAt("f2", failed, second, byHand, ttl(minute))},
			now:        minute, want: []string{"s1"},
		},
		{
			name:       "an unhandled retry request is not swept away",
			limits:     func(l *RetentionLimits) { l.MaxCount = 0 },
			deliveries: []*v1alpha1.WebhookDelivery{finishedAt("f1", failed, 0, asked("now")), finishedAt("f2", failed, 0, byHand, ttl(minute), asked("now"))},
			now:        10000 * hour,
		},
		{
			name: "a retry request that was handled, and one that no longer can be, go",
			deliveries: []*v1alpha1.WebhookDelivery{
				finishedAt("f1", failed, 0, asked("now"), func(d *v1alpha1.WebhookDelivery) { d.Status.LastHandledRetryAt = "now" }),
				finishedAt("s2", succeeded, 1, asked("now")),
			},
			now: 10000 * hour, want: []string{"s2", "f1"},
		},
		{
			name:       "what has not finished stays",
			deliveries: []*v1alpha1.WebhookDelivery{someDelivery(), someDelivery(func(d *v1alpha1.WebhookDelivery) { d.Status = failedOnce() })},
			now:        10000 * hour,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limits := wide
			if tt.limits != nil {
				tt.limits(&limits)
			}
			r := keeper(t, limits, someWebhook(func(w *v1alpha1.Webhook) { w.Spec.Retention = tt.own }), at(tt.now))
			for _, delivery := range tt.deliveries {
				stripDelivery(delivery) // a stripped payload counts with its size
				r.Add(delivery)
				r.Add(delivery) // to hear of it twice changes nothing
			}
			var got []string
			for _, entry := range r.expired(t.Context()) {
				got = append(got, entry.key.Name)
			}
			same(t, got, tt.want)
			if again := r.expired(t.Context()); len(again) > 0 {
				t.Errorf("%d were handed out again", len(again))
			}
		})
	}
}

func TestRetentionReadsAChangedDeliveryAnew(t *testing.T) {
	limits := RetentionLimits{Succeeded: hour, Failed: hour, MaxCount: 10, MaxBytes: 1 << 20}
	r := keeper(t, limits, someWebhook(), at(90*minute))
	r.Add(finishedAt("a", v1alpha1.DeliveryFailed, 0))
	r.Add(finishedAt("b", v1alpha1.DeliveryFailed, 0, byHand, ttl(minute)))
	// Both were retried by hand and have ended again since.
	r.Add(finishedAt("a", v1alpha1.DeliverySucceeded, 80*minute))
	r.Add(finishedAt("b", v1alpha1.DeliverySucceeded, 90*minute, byHand, ttl(minute)))
	if got := r.expired(t.Context()); len(got) > 0 {
		t.Errorf("%s went though it ended only now", got[0].key.Name)
	}
	if hook := r.webhooks[client.ObjectKeyFromObject(someWebhook())]; hook.count() != 1 || hook.bytes != 100 {
		t.Errorf("%d deliveries with %d bytes are counted, want 1 with 100", hook.count(), hook.bytes)
	}
}

func TestRetentionTriesAgain(t *testing.T) {
	r := keeper(t, RetentionLimits{}, someWebhook(), at(hour))
	r.Add(finishedAt("a", v1alpha1.DeliveryFailed, 0))
	out := r.expired(t.Context())
	r.reindex(out[0])
	same(t, len(r.expired(t.Context())), 1)
	// One that was added anew meanwhile is not replaced by what was known before.
	r.reindex(out[0])
	r.Add(finishedAt("a", v1alpha1.DeliverySucceeded, hour))
	r.reindex(out[0])
	same(t, r.byUID["a"].state, v1alpha1.DeliverySucceeded)
}

func TestForgetWebhookDropsItsEntries(t *testing.T) {
	r := keeper(t, RetentionLimits{MaxCount: 10, MaxBytes: 1 << 20}, someWebhook(), at(0))
	for _, name := range []string{"a", "b"} {
		r.Add(finishedAt(name, v1alpha1.DeliveryFailed, 0))
	}
	r.ForgetWebhook(client.ObjectKeyFromObject(someWebhook()))
	same(t, []int{len(r.webhooks), len(r.byUID), len(r.expired(t.Context()))}, []int{0, 0, 0})
}

// TestAdmit: a former process may have died between the end of a delivery and
// the status of its webhook.
func TestAddListed(t *testing.T) {
	ended := func(state v1alpha1.DeliveryState, reason string, changes ...func(*v1alpha1.WebhookDelivery)) *v1alpha1.WebhookDelivery {
		return finishedAt("a", state, minute, append(changes, func(d *v1alpha1.WebhookDelivery) {
			d.Status.Conditions = succeeded(metav1.ConditionFalse, reason, "", minute)
		})...)
	}
	tests := []struct {
		name     string
		webhook  func(*v1alpha1.Webhook)
		delivery *v1alpha1.WebhookDelivery
		want     v1alpha1.WebhookState
	}{
		{"a success is made up for", func(w *v1alpha1.Webhook) {
			w.Status.State, w.Status.LastFailureTime = v1alpha1.WebhookFailing, micro(0)
		}, ended(v1alpha1.DeliverySucceeded, v1alpha1.ReasonDelivered), v1alpha1.WebhookActive},
		{"a failure is made up for", func(*v1alpha1.Webhook) {}, ended(v1alpha1.DeliveryFailed, v1alpha1.ReasonAttemptsExhausted), v1alpha1.WebhookFailing},
		{"a 410 is made up for", func(*v1alpha1.Webhook) {}, ended(v1alpha1.DeliveryFailed, v1alpha1.ReasonEndpointGone), v1alpha1.WebhookDisabled},
		{"a 410 from before it was enabled is not", func(w *v1alpha1.Webhook) { w.Status.EnabledTime = micro(hour) }, ended(v1alpha1.DeliveryFailed, v1alpha1.ReasonEndpointGone), v1alpha1.WebhookActive},
		{"one that was never sent says nothing", func(*v1alpha1.Webhook) {}, ended(v1alpha1.DeliveryFailed, v1alpha1.ReasonPayloadInvalid), v1alpha1.WebhookActive},
		{"a test event says nothing", func(*v1alpha1.Webhook) {}, ended(v1alpha1.DeliveryFailed, v1alpha1.ReasonAttemptsExhausted, func(d *v1alpha1.WebhookDelivery) { d.Spec.Test = true }), v1alpha1.WebhookActive},
		{"one of a webhook of before says nothing", func(w *v1alpha1.Webhook) { w.UID = "webhook-2" }, ended(v1alpha1.DeliveryFailed, v1alpha1.ReasonEndpointGone), v1alpha1.WebhookActive},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			webhook := someWebhook(tt.webhook)
			r := keeper(t, RetentionLimits{}, webhook, at(2*hour))
			r.seedListed(t.Context(), tt.delivery)
			r.Observations.mu.Lock()
			defer r.Observations.mu.Unlock()
			same(t, v1alpha1.WebhookState(r.Observations.stateLocked(webhook)), tt.want)
			news := r.Observations.entry(webhook)
			same(t, slices.Max([]int64{news.succeeded, news.failed}), int64(0)) // it was counted or is lost
		})
	}
}

func TestRetentionDropsWhatAnotherClientDeleted(t *testing.T) {
	now := at(hour)
	r := &Retainer{Now: func() time.Time { return now }}
	for i := range 100 {
		r.Add(finishedAt(fmt.Sprint("gone by ttl ", i), v1alpha1.DeliverySucceeded, 0, ttl(720*hour)))
		r.Add(finishedAt(fmt.Sprint("gone ", i), v1alpha1.DeliveryFailed, 0))
	}
	for range 100 { // as retries by hand do
		r.Add(finishedAt("listed by ttl", v1alpha1.DeliveryFailed, 0, ttl(720*hour)))
	}
	now = at(2 * hour)
	r.Add(finishedAt("listed by ttl", v1alpha1.DeliveryFailed, 0, ttl(720*hour)))
	r.Add(finishedAt("listed", v1alpha1.DeliveryFailed, 0))
	r.dropUnlisted(now)
	if len(r.byUID) != 2 || len(r.ttl) != 1 || len(r.webhooks) != 1 {
		t.Errorf("%d are known, %d in the heap, %d webhooks; want 2, 1, 1", len(r.byUID), len(r.ttl), len(r.webhooks))
	}
}
