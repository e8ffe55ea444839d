// SPDX-License-Identifier: Apache-2.0

package store

import (
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// TestHasWaiting: an unfinished delivery that is due waits, regardless of finished ones beside it.
func TestHasWaiting(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(seconds int) metav1.MicroTime {
		return metav1.NewMicroTime(start.Add(time.Duration(seconds) * time.Second))
	}
	x, version := NewDeliveryIndex(time.Now), 0
	put := func(name, webhook string, accepted int, state v1alpha1.DeliveryState, next int) {
		version++
		delivery := &v1alpha1.WebhookDelivery{}
		delivery.Namespace, delivery.Name, delivery.ResourceVersion = "team", name, strconv.Itoa(version)
		delivery.UID = types.UID("uid of " + name)
		delivery.CreationTimestamp = metav1.NewTime(at(accepted).Time)
		delivery.Spec.WebhookRef.Name = webhook
		delivery.Status.State = state
		if next > 0 {
			delivery.Status.NextAttemptTime = new(at(next))
		}
		x.ApplyWrite(delivery)
	}
	one := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "one", UID: "uid"}}
	check := func(what string, before, now int, want bool) {
		t.Helper()
		if got := x.HasWaiting(one, at(before).Time, at(now).Time); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("there is none", 100, 100, false)
	for i := range 50 {
		put("done-"+strconv.Itoa(i), "one", i, v1alpha1.DeliverySucceeded, 0)
	}
	put("failed", "one", 1, v1alpha1.DeliveryFailed, 0)
	put("other", "two", 1, v1alpha1.DeliveryPending, 0)
	check("all are finished, or of another webhook", 100, 100, false)
	put("retrying", "one", 10, v1alpha1.DeliveryRetrying, 200)
	check("its next attempt is not due", 100, 100, false)
	check("its next attempt is due", 100, 200, true)
	put("pending", "one", 50, v1alpha1.DeliveryPending, 0)
	check("it came in before", 51, 100, true)
	check("it came in at that time", 50, 100, true)
	check("it came in since", 49, 100, false)
	put("pending", "one", 50, v1alpha1.DeliverySucceeded, 0)
	check("it has succeeded since", 51, 100, false)
	put("retrying", "one", 10, v1alpha1.DeliveryFailed, 0)
	check("it has failed for good since", 100, 300, false)
	if n := x.namespaces["team"].byWebhook["one"].unfinished.Len(); n != 0 {
		t.Errorf("%d are held as waiting, and none is", n)
	}
}
