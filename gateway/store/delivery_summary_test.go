// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// shownEach is how many deliveries of each kind a summary shows.
const shownEach = 5

// TestOverviewMatchesAFullScan changes deliveries at random and compares what the indexes say
// with what all deliveries say.
func TestOverviewMatchesAFullScan(t *testing.T) {
	const names, changes = 40, 3000
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	x := NewDeliveryIndex(func() time.Time { return start })
	stored := map[string]*v1alpha1.WebhookDelivery{}
	states := []v1alpha1.DeliveryState{"", v1alpha1.DeliveryPending, v1alpha1.DeliveryRetrying, v1alpha1.DeliverySucceeded, v1alpha1.DeliveryFailed}
	for version := 1; version <= changes; version++ {
		name := fmt.Sprintf("delivery-%d", random.IntN(names))
		if known := stored[name]; known != nil && random.IntN(4) == 0 {
			x.ApplyDelete(types.NamespacedName{Namespace: "shop", Name: name}, known.UID)
			delete(stored, name)
		} else {
			delivery := deliveryAt(name, version, start.Add(time.Duration(random.IntN(20))*time.Second), states[random.IntN(len(states))])
			if known != nil { // these never change
				delivery.UID, delivery.CreationTimestamp = known.UID, known.CreationTimestamp
			}
			stored[name] = delivery
			x.ApplyWrite(delivery)
		}
		summary := x.SummarizeNamespace("shop", shownEach)
		wantOldest, wantFailed, wantCount := scanDeliveries(stored)
		if got := entryNames(summary.Oldest); !slices.Equal(got, wantOldest) {
			t.Fatalf("change %d: the oldest are %v, want %v", version, got, wantOldest)
		}
		if got := entryNames(summary.Failed); !slices.Equal(got, wantFailed) {
			t.Fatalf("change %d: the latest failures are %v, want %v", version, got, wantFailed)
		}
		if summary.Unfinished != wantCount {
			t.Fatalf("change %d: %d wait, want %d", version, summary.Unfinished, wantCount)
		}
	}
}

func deliveryAt(name string, version int, created time.Time, state v1alpha1.DeliveryState) *v1alpha1.WebhookDelivery {
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(fmt.Sprint(name, version)),
			ResourceVersion: fmt.Sprint(version), CreationTimestamp: metav1.NewTime(created),
		},
		Spec:   v1alpha1.WebhookDeliverySpec{WebhookRef: v1alpha1.WebhookReference{Name: "orders"}, EventID: "evt_" + name},
		Status: v1alpha1.WebhookDeliveryStatus{State: state},
	}
	if state == v1alpha1.DeliveryFailed && version%3 > 0 {
		delivery.Status.CompletionTime = new(metav1.NewMicroTime(created.Add(time.Duration(version%7) * time.Second)))
	}
	return delivery
}

// scanDeliveries finds the same by looking at every delivery.
func scanDeliveries(stored map[string]*v1alpha1.WebhookDelivery) (oldest, failed []string, count int) {
	var waiting, lost []*DeliveryEntry
	for _, delivery := range stored {
		switch r := NewDeliveryEntry(delivery, time.Now()); {
		case r.IsUnfinished():
			waiting = append(waiting, r)
		case r.State == v1alpha1.DeliveryFailed:
			lost = append(lost, r)
		}
	}
	order := func(list []*DeliveryEntry, first func(a, b *DeliveryEntry) bool) []string {
		slices.SortFunc(list, func(a, b *DeliveryEntry) int {
			if first(a, b) {
				return -1
			}
			return 1
		})
		return entryNames(list[:min(len(list), shownEach)])
	}
	return order(waiting, acceptedBefore), order(lost, endedAfter), len(waiting)
}

func entryNames(list []*DeliveryEntry) []string {
	names := make([]string, 0, len(list))
	for _, r := range list {
		names = append(names, r.Name)
	}
	return names
}

// How deliveries ended is known however many newer ones wait, and a record of the
// gateway stands for the successes that have none.
func TestWebhookSummaryLooksBehindTheBacklog(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	x := NewDeliveryIndex(func() time.Time { return start })
	version := 0
	note := func(state v1alpha1.DeliveryState, change func(*v1alpha1.WebhookDelivery)) {
		version++
		delivery := deliveryAt(fmt.Sprintf("delivery-%d", version), version, start.Add(time.Duration(version)*time.Second), state)
		if change != nil {
			change(delivery)
		}
		x.ApplyWrite(delivery)
	}
	stands := func(n, origin string) func(*v1alpha1.WebhookDelivery) {
		return func(d *v1alpha1.WebhookDelivery) {
			d.Labels, d.Annotations = map[string]string{v1alpha1.OriginLabel: origin}, map[string]string{v1alpha1.UnrecordedAnnotation: n}
		}
	}
	note(v1alpha1.DeliverySucceeded, stands("120", v1alpha1.OriginGateway))
	note(v1alpha1.DeliverySucceeded, stands("120", "somebody"))
	note(v1alpha1.DeliverySucceeded, stands("-3", v1alpha1.OriginGateway))
	note(v1alpha1.DeliveryFailed, func(d *v1alpha1.WebhookDelivery) { d.Status.ErrorMessage = "the endpoint answered 404" })
	note(v1alpha1.DeliverySucceeded, func(d *v1alpha1.WebhookDelivery) { d.Spec.Test = true })
	note(v1alpha1.DeliveryRetrying, func(d *v1alpha1.WebhookDelivery) { d.Status.ErrorMessage = "the endpoint answered 500" })
	for range 1000 {
		note(v1alpha1.DeliveryPending, nil)
	}
	summary := x.SummarizeWebhook("shop", "orders", 40)
	unrecorded, succeeded := int64(0), 0
	for _, r := range summary.Recent {
		unrecorded += r.Unrecorded
		if r.State == v1alpha1.DeliverySucceeded {
			succeeded++
		}
	}
	if summary.Unfinished != 1001 || len(summary.Recent) != 4 || succeeded != 3 || unrecorded != 120 {
		t.Errorf("%d wait, of %d that ended %d succeeded, with %d beside them", summary.Unfinished, len(summary.Recent), succeeded, unrecorded)
	}
	if latest := summary.LatestError; latest != "" {
		t.Errorf("looked at more than the newest %d: %q", maxExamined, latest)
	}
	note(v1alpha1.DeliveryRetrying, func(d *v1alpha1.WebhookDelivery) { d.Status.ErrorMessage = "the endpoint answered 503" })
	if latest := x.SummarizeWebhook("shop", "orders", 40).LatestError; latest != "the endpoint answered 503" {
		t.Errorf("got %q", latest)
	}
}
