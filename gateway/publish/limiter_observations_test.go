// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// observedLimiter is a limiter that observes the deliveries of an index, as in a gateway.
type observedLimiter struct {
	*limiterFixture

	index   *store.DeliveryIndex
	version int
}

func newObservedLimiter() *observedLimiter {
	r := &observedLimiter{limiterFixture: newLimiterFixture()}
	r.index = store.NewDeliveryIndex(func() time.Time { return r.now })
	r.index.OnChange(func(entry *store.DeliveryEntry, _ bool) { observeDelivery(r.limiter, entry, r.now) })
	return r
}

// observeDelivery applies a delivery whose latest attempt is entry to the index.
func (r *observedLimiter) observeDelivery(webhook webhookKey, entry v1alpha1.Attempt) {
	r.version++
	delivery := &v1alpha1.WebhookDelivery{}
	delivery.Namespace, delivery.Name, delivery.ResourceVersion = webhook.namespace, "d"+strconv.Itoa(r.version), strconv.Itoa(r.version)
	delivery.OwnerReferences = []metav1.OwnerReference{{Kind: "Webhook", Name: webhook.name, UID: webhook.uid, Controller: new(true)}}
	delivery.Spec.WebhookRef.Name = webhook.name
	delivery.Spec.FirstAttempt = &entry
	r.index.ApplyWrite(delivery)
}

func (r *observedLimiter) refusalFor(webhook *v1alpha1.Webhook) refusal {
	s, reason := r.acquire(webhook, r.now, func(time.Time) bool { return false })
	if s != nil {
		r.release(s, r.now)
	}
	return reason
}

func ordersWebhook() *v1alpha1.Webhook {
	webhook := webhookNamed("orders", "https://orders.example.com/")
	webhook.Namespace, webhook.UID = "victim", "the uid"
	return webhook
}

var farFuture = metav1.NewMicroTime(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))

func attemptAt(at time.Time, reason string, more ...func(*v1alpha1.Attempt)) v1alpha1.Attempt {
	entry := v1alpha1.Attempt{Number: 1, StartTime: metav1.NewMicroTime(at), Reason: reason}
	for _, change := range more {
		change(&entry)
	}
	return entry
}

func withRetryAfter(until time.Time) func(*v1alpha1.Attempt) {
	return func(attempt *v1alpha1.Attempt) { attempt.RetryAfterTime = new(metav1.NewMicroTime(until)) }
}

func TestDeliveryCountsForItsOwnWebhookOnly(t *testing.T) {
	for name, liar := range map[string]webhookKey{
		"of another namespace":                           {"liar", "orders", "the uid"},
		"of another namespace, with another name":        {"liar", "mine", "the uid"},
		"of another webhook of the namespace":            {"victim", "mine", "the uid"},
		"of a webhook that had the name before":          {"victim", "orders", "an older uid"},
		"of another namespace, without a webhook's name": {"liar", "", "the uid"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newObservedLimiter()
			webhook := ordersWebhook()
			s, _ := r.acquire(webhook, r.now, nil)
			r.finish(s, time.Millisecond, succeededResult())
			r.now = r.now.Add(time.Second)
			for _, entry := range []v1alpha1.Attempt{
				attemptAt(farFuture.Time, "Timeout"),
				attemptAt(r.now, "Timeout"),
				attemptAt(r.now, "Throttled", withRetryAfter(r.now.Add(time.Hour))),
				attemptAt(farFuture.Time, "Throttled", withRetryAfter(farFuture.Time)),
			} {
				r.observeDelivery(liar, entry)
				if reason := r.refusalFor(webhook); reason != "" {
					t.Errorf("%s at %s: first attempts are refused as %q", entry.Reason, entry.StartTime, reason)
				}
			}
			r.observeDelivery(newWebhookKey(webhook), attemptAt(r.now, "Timeout"))
			if reason := r.refusalFor(webhook); reason != refusedCircuitOpen {
				t.Errorf("its own delivery timed out, and first attempts are %q", reason)
			}
		})
	}
}

// Impossible times in the deliveries of a webhook affect that webhook alone, and not for long.
func TestAttemptsOfTheFutureAreBroughtIntoBounds(t *testing.T) {
	r := newObservedLimiter()
	webhook := ordersWebhook()
	r.observeDelivery(newWebhookKey(webhook), attemptAt(farFuture.Time, "Timeout", withRetryAfter(farFuture.Time), func(made *v1alpha1.Attempt) {
		made.DurationMilliseconds = 1<<63 - 1
	}))
	if reason := r.refusalFor(webhook); reason != refusedCircuitOpen {
		t.Errorf("after a timeout: %q", reason)
	}
	r.now = r.now.Add(time.Hour - time.Second)
	if reason := r.refusalFor(webhook); reason != refusedCircuitOpen {
		t.Errorf("within the hour that an endpoint may ask for: %q", reason)
	}
	r.now = r.now.Add(time.Second)
	if reason := r.refusalFor(webhook); reason != "" {
		t.Errorf("after the hour that an endpoint may ask for: %q", reason)
	}
	r.observeDelivery(newWebhookKey(webhook), attemptAt(r.now.Add(-time.Second), "Timeout"))
	if reason := r.refusalFor(webhook); reason != refusedCircuitOpen {
		t.Errorf("after a timeout that is none of the future: %q", reason)
	}
}

func TestObservedRetryAfterHoldIsKept(t *testing.T) {
	r := newObservedLimiter()
	webhook := ordersWebhook()
	r.observeDelivery(newWebhookKey(webhook), attemptAt(r.now, "Throttled", withRetryAfter(r.now.Add(time.Minute))))
	if reason := r.refusalFor(webhook); reason != refusedCircuitOpen {
		t.Errorf("the first attempt here is made within the pause: %q", reason)
	}
	r.now = r.now.Add(time.Minute)
	if reason := r.refusalFor(webhook); reason != "" {
		t.Errorf("after the pause: %q", reason)
	}
	r.observeDelivery(newWebhookKey(webhook), attemptAt(r.now.Add(-time.Minute), "Throttled", withRetryAfter(r.now)))
	if r.endpoints[newWebhookKey(webhook)].HeldUntil().Equal(r.now) {
		t.Error("a Retry-After hold that is over counts when it is observed again")
	}
}

func TestRetryAfterHoldOfAFormerEndpointIsIgnored(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.Webhook){
		"another url": func(w *v1alpha1.Webhook) { w.Spec.URL = "https://new.example.com/" },
		"another secret": func(w *v1alpha1.Webhook) {
			w.Spec.Signing = &v1alpha1.Signing{SecretRef: &v1alpha1.SecretKeyReference{Name: "other"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			former, now := ordersWebhook(), ordersWebhook()
			change(now)
			old, latest := signingsecret.EndpointRevision(former), signingsecret.EndpointRevision(now)
			to := func(revision string) func(*v1alpha1.Attempt) {
				return func(made *v1alpha1.Attempt) { made.EndpointRevision = revision }
			}
			r := newObservedLimiter()
			r.observeDelivery(newWebhookKey(now), attemptAt(r.now, "Throttled", withRetryAfter(r.now.Add(time.Hour)), to(old)))
			r.observeDelivery(newWebhookKey(now), attemptAt(r.now, "Timeout", to(old)))
			if reason := r.refusalFor(now); reason != "" {
				t.Errorf("the new endpoint gets no first attempt: %q", reason)
			}
			if hangs, _ := r.classify(now, r.now); hangs {
				t.Error("the new endpoint counts as one that hangs")
			}
			r.now = r.now.Add(time.Second)
			r.observeDelivery(newWebhookKey(now), attemptAt(r.now, "Throttled", withRetryAfter(r.now.Add(time.Minute)), to(latest)))
			if reason := r.refusalFor(now); reason != refusedCircuitOpen {
				t.Errorf("the new endpoint asked for a pause, less than the former one did: %q", reason)
			}
		})
	}
}

func TestObservationsExpire(t *testing.T) {
	r := newObservedLimiter()
	for i := range 1000 {
		r.observeDelivery(webhookKey{"liar", "orders", types.UID("invented " + strconv.Itoa(i))}, attemptAt(r.now, "Timeout", withRetryAfter(r.now.Add(time.Minute))))
	}
	r.now = r.now.Add(endpoint.HangingFor)
	r.observeDelivery(webhookKey{"liar", "orders", "another"}, attemptAt(r.now, "Timeout"))
	if n := len(r.observations); n != 1 {
		t.Errorf("%d webhooks are remembered, want the latest", n)
	}
}

// A publisher that sees that no delivery waits any more must not act before the limiter knows why.
func TestWhatWaitsIsAskedOnceTheLimiterKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newObservedLimiter()
		slow := make(chan struct{})
		r.index.OnChange(func(*store.DeliveryEntry, bool) { <-slow })
		stage := &attemptStage{attempter: &firstAttempter{now: func() time.Time { return r.now }}, deliveries: r.index}
		webhook := ordersWebhook()
		go r.observeDelivery(newWebhookKey(webhook), attemptAt(r.now, "Throttled", withRetryAfter(r.now.Add(time.Minute))))
		synctest.Wait()
		answered := make(chan struct{})
		go func() {
			stage.hasWaiting(webhook, r.now)
			close(answered)
		}()
		synctest.Wait()
		select {
		case <-answered:
			t.Error("it was answered while subscribers are told")
		default:
		}
		close(slow)
		<-answered
	})
}
