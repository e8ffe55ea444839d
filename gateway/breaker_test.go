// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// rumours are slots that hear what objects tell, as in a gateway.
type rumours struct {
	*track

	ledger  *deliveryIndex
	version int
}

func newRumours() *rumours {
	r := &rumours{track: newTrack()}
	r.ledger = newDeliveryIndex(func() time.Time { return r.now })
	r.ledger.observe = r.limiter.observe
	return r
}

// tell makes a delivery known whose latest attempt is this one.
func (r *rumours) tell(of webhookKey, made v1alpha1.Attempt) {
	r.version++
	delivery := &v1alpha1.WebhookDelivery{}
	delivery.Namespace, delivery.Name, delivery.ResourceVersion = of.namespace, "d"+strconv.Itoa(r.version), strconv.Itoa(r.version)
	delivery.OwnerReferences = []metav1.OwnerReference{{Kind: "Webhook", Name: of.name, UID: of.uid, Controller: new(true)}}
	delivery.Spec.WebhookRef.Name = of.name
	delivery.Spec.FirstAttempt = &made
	r.ledger.ApplyWrite(delivery)
}

func (r *rumours) ask(webhook *v1alpha1.Webhook) refusal {
	at, why := r.acquire(webhook, r.now, func(time.Time) bool { return false })
	if at != nil {
		r.release(at, r.now)
	}
	return why
}

func victim() *v1alpha1.Webhook {
	webhook := hookNamed("orders", "https://orders.example.com/")
	webhook.Namespace, webhook.UID = "victim", "the uid"
	return webhook
}

var lastYear = metav1.NewMicroTime(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))

func attemptAt(at time.Time, reason string, more ...func(*v1alpha1.Attempt)) v1alpha1.Attempt {
	made := v1alpha1.Attempt{Number: 1, StartTime: metav1.NewMicroTime(at), Reason: reason}
	for _, change := range more {
		change(&made)
	}
	return made
}

func asking(until time.Time) func(*v1alpha1.Attempt) {
	return func(made *v1alpha1.Attempt) { made.RetryAfterTime = new(metav1.NewMicroTime(until)) }
}

func TestADeliverySpeaksOfItsOwnWebhookOnly(t *testing.T) {
	for name, liar := range map[string]webhookKey{
		"of another namespace":                      {"liar", "orders", "the uid"},
		"of another namespace, with another name":   {"liar", "mine", "the uid"},
		"of another webhook of the namespace":       {"victim", "mine", "the uid"},
		"of a webhook that had the name before":     {"victim", "orders", "an older uid"},
		"of another namespace and of no one's name": {"liar", "", "the uid"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRumours()
			webhook := victim()
			at, _ := r.acquire(webhook, r.now, nil)
			r.ends(at, time.Millisecond, good())
			r.now = r.now.Add(time.Second)
			for _, made := range []v1alpha1.Attempt{
				attemptAt(lastYear.Time, "Timeout"),
				attemptAt(r.now, "Timeout"),
				attemptAt(r.now, "Throttled", asking(r.now.Add(time.Hour))),
				attemptAt(lastYear.Time, "Throttled", asking(lastYear.Time)),
			} {
				r.tell(liar, made)
				if why := r.ask(webhook); why != "" {
					t.Errorf("%s at %s: first attempts are refused as %q", made.Reason, made.StartTime, why)
				}
			}
			r.tell(keyOf(webhook), attemptAt(r.now, "Timeout"))
			if why := r.ask(webhook); why != refusedCircuitOpen {
				t.Errorf("its own delivery timed out, and first attempts are %q", why)
			}
		})
	}
}

// Whoever writes nonsense into deliveries of a webhook of their own gets over it.
func TestNothingIsHeardFromTheFuture(t *testing.T) {
	r := newRumours()
	webhook := victim()
	r.tell(keyOf(webhook), attemptAt(lastYear.Time, "Timeout", asking(lastYear.Time), func(made *v1alpha1.Attempt) {
		made.DurationMilliseconds = 1<<63 - 1
	}))
	if why := r.ask(webhook); why != refusedCircuitOpen {
		t.Errorf("after a timeout: %q", why)
	}
	r.now = r.now.Add(time.Hour - time.Second)
	if why := r.ask(webhook); why != refusedCircuitOpen {
		t.Errorf("within the hour that an endpoint may ask for: %q", why)
	}
	r.now = r.now.Add(time.Second)
	if why := r.ask(webhook); why != "" {
		t.Errorf("after the hour that an endpoint may ask for: %q", why)
	}
	r.tell(keyOf(webhook), attemptAt(r.now.Add(-time.Second), "Timeout"))
	if why := r.ask(webhook); why != refusedCircuitOpen {
		t.Errorf("after a timeout that is none of the future: %q", why)
	}
}

func TestAPauseThatAnotherHasHeardOfIsKept(t *testing.T) {
	r := newRumours()
	webhook := victim()
	r.tell(keyOf(webhook), attemptAt(r.now, "Throttled", asking(r.now.Add(time.Minute))))
	if why := r.ask(webhook); why != refusedCircuitOpen {
		t.Errorf("the first attempt here is made within the pause: %q", why)
	}
	r.now = r.now.Add(time.Minute)
	if why := r.ask(webhook); why != "" {
		t.Errorf("after the pause: %q", why)
	}
	r.tell(keyOf(webhook), attemptAt(r.now.Add(-time.Minute), "Throttled", asking(r.now)))
	if r.endpoints[keyOf(webhook)].retryAfter.Equal(r.now) {
		t.Error("a pause that is over counts when it is heard of again")
	}
}

func TestWhatAFormerEndpointAskedForIsPast(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.Webhook){
		"another url": func(w *v1alpha1.Webhook) { w.Spec.URL = "https://new.example.com/" },
		"another secret": func(w *v1alpha1.Webhook) {
			w.Spec.Signing = &v1alpha1.Signing{SecretRef: &v1alpha1.SecretKeyReference{Name: "other"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			former, now := victim(), victim()
			change(now)
			old, latest := signingsecret.EndpointRevision(former), signingsecret.EndpointRevision(now)
			to := func(revision string) func(*v1alpha1.Attempt) {
				return func(made *v1alpha1.Attempt) { made.EndpointRevision = revision }
			}
			r := newRumours()
			r.tell(keyOf(now), attemptAt(r.now, "Throttled", asking(r.now.Add(time.Hour)), to(old)))
			r.tell(keyOf(now), attemptAt(r.now, "Timeout", to(old)))
			if why := r.ask(now); why != "" {
				t.Errorf("the new endpoint is left alone: %q", why)
			}
			if hangs, _ := r.classify(now, r.now); hangs {
				t.Error("the new endpoint counts as one that hangs")
			}
			r.now = r.now.Add(time.Second)
			r.tell(keyOf(now), attemptAt(r.now, "Throttled", asking(r.now.Add(time.Minute)), to(latest)))
			if why := r.ask(now); why != refusedCircuitOpen {
				t.Errorf("the new endpoint asked for a pause, less than the former one did: %q", why)
			}
		})
	}
}

func TestHearsayFades(t *testing.T) {
	r := newRumours()
	for i := range 1000 {
		r.tell(webhookKey{"liar", "orders", types.UID("invented " + strconv.Itoa(i))}, attemptAt(r.now, "Timeout", asking(r.now.Add(time.Minute))))
	}
	r.now = r.now.Add(hangingFor)
	r.tell(webhookKey{"liar", "orders", "another"}, attemptAt(r.now, "Timeout"))
	if n := len(r.observations); n != 1 {
		t.Errorf("%d webhooks are remembered, want the latest", n)
	}
}
