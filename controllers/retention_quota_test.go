// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// kept are finished deliveries of one webhook: how many, how large, since when.
type kept struct {
	namespace, webhook string
	state              v1alpha1.DeliveryState
	count, bytes       int
	byHand             bool
	after              time.Duration
}

func (h kept) add(r *Retainer) {
	for i := range h.count {
		name := fmt.Sprintf("%s-%s-%s-%t-%d", h.namespace, h.webhook, h.state, h.byHand, i)
		r.Add(finishedAt(name, h.state, h.after+time.Duration(i)*second, func(d *v1alpha1.WebhookDelivery) {
			d.Namespace, d.Spec.WebhookRef.Name, d.Spec.Payload = h.namespace, h.webhook, strings.Repeat("x", h.bytes)
			if h.byHand {
				d.Labels = nil
			}
		}))
	}
}

func TestQuotasSpareThoseWithLess(t *testing.T) {
	const succeeded, failed = v1alpha1.DeliverySucceeded, v1alpha1.DeliveryFailed
	wide := RetentionLimits{Succeeded: hour, Failed: 168 * hour, MaxCount: 1000, MaxBytes: 1 << 30}
	tests := []struct {
		name                string
		perNamespace, total Quota
		kept                []kept
		want                map[string]int // how many are left, by namespace/webhook
		bound               bound
	}{
		{
			name: "within bounds everything stays", perNamespace: Quota{Count: 10, Bytes: 1 << 20}, total: Quota{Count: 20, Bytes: 1 << 20},
			kept: []kept{{"a", "x", failed, 10, 100, false, 0}, {"b", "x", failed, 10, 100, false, 0}},
			want: map[string]int{"a/x": 10, "b/x": 10},
		},
		{
			name: "in a namespace the largest give way", perNamespace: Quota{Count: 10}, bound: boundNamespace,
			kept: []kept{{"a", "small", failed, 2, 100, false, 0}, {"a", "x", failed, 30, 100, false, 0}, {"a", "y", failed, 5, 100, false, 0}, {"b", "x", failed, 10, 100, false, 0}},
			want: map[string]int{"a/small": 2, "a/x": 4, "a/y": 4, "b/x": 10},
		},
		{
			name: "in bytes as well", perNamespace: Quota{Bytes: 10 * (objectBytes + 1000)}, bound: boundNamespace,
			kept: []kept{{"a", "small", failed, 2, 1000, false, 0}, {"a", "x", failed, 30, 1000, false, 0}},
			want: map[string]int{"a/small": 2, "a/x": 8},
		},
		{
			name: "of all the largest namespaces give way", total: Quota{Count: 12}, bound: boundTotal,
			kept: []kept{{"a", "x", failed, 30, 100, false, 0}, {"a", "y", failed, 30, 100, false, 0}, {"b", "x", failed, 4, 100, false, 0}},
			want: map[string]int{"a/x": 4, "a/y": 4, "b/x": 4},
		},
		{
			name: "what was made by hand takes room of its own namespace alone, and stays", perNamespace: Quota{Count: 10}, total: Quota{Count: 20}, bound: boundNamespace,
			kept: []kept{{"a", "x", failed, 100, 100, true, 0}, {"a", "x", failed, 3, 100, false, 0}, {"b", "x", failed, 10, 100, false, 0}},
			want: map[string]int{"a/x": 100, "b/x": 10},
		},
		{
			name: "a bound of nothing is none", kept: []kept{{"a", "x", failed, 100, 100, false, 0}}, want: map[string]int{"a/x": 100},
		},
		{
			name: "what succeeded goes before what failed", perNamespace: Quota{Count: 5}, bound: boundNamespace,
			kept: []kept{{"a", "x", failed, 5, 100, false, 0}, {"a", "x", succeeded, 5, 100, false, minute}},
			want: map[string]int{"a/x": 5},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limits := wide
			limits.PerNamespace, limits.Total = tt.perNamespace, tt.total
			r := keeper(t, limits, someWebhook(), at(2*minute))
			before := 0
			for _, h := range tt.kept {
				h.add(r)
				before += h.count
			}
			out := r.expired(t.Context())
			left, sum := map[string]int{}, 0
			for key, hook := range r.webhooks {
				left[key.Namespace+"/"+key.Name] = hook.count() + hook.byHand.Len()
				sum += hook.count() + hook.byHand.Len()
			}
			same(t, left, tt.want)
			same(t, len(out), before-sum)
			for _, entry := range out {
				same(t, entry.bound, tt.bound)
			}
			if tt.name == "what succeeded goes before what failed" {
				same(t, r.webhooks[types.NamespacedName{Namespace: "a", Name: "x"}].failed.Len(), 5)
			}
			if again := r.expired(t.Context()); len(again) > 0 {
				t.Errorf("%d went at the second look", len(again))
			}
		})
	}
}

func TestFairShare(t *testing.T) {
	for _, tt := range []struct {
		bound int64
		all   []int64
		want  int64
	}{
		{10, nil, math.MaxInt64},
		{10, []int64{5, 5}, math.MaxInt64},
		{10, []int64{6, 5}, 5},
		{10, []int64{1, 100, 100}, 4},
		{0, []int64{1}, 0},
		{math.MaxInt64, []int64{1 << 40, 1 << 41}, math.MaxInt64},
	} {
		same(t, quotaShare(tt.bound, tt.all), tt.want)
	}
}

// A failed delivery that went before its time is told on its webhook; one whose
// time was over is not.
func TestEarlyDeletionsAreCounted(t *testing.T) {
	webhook := someWebhook()
	r := keeper(t, RetentionLimits{Succeeded: hour, Failed: hour, MaxCount: 2, MaxBytes: 1 << 20}, webhook, at(hour))
	r.Metrics = NewMetrics(prometheus.NewRegistry())
	for i, after := range []time.Duration{0, minute, 2 * minute, 3 * minute, 4 * minute} {
		r.Add(finishedAt(fmt.Sprint("f", i), v1alpha1.DeliveryFailed, after))
		r.Add(finishedAt(fmt.Sprint("s", i), v1alpha1.DeliverySucceeded, after))
	}
	out := r.expired(t.Context())
	r.Client = &slowDeletes{Client: r.Client, last: map[string]time.Time{}}
	r.deleteAll(t.Context(), out)
	seen := r.Observations.snapshot(webhook)
	same(t, len(out), 6)
	same(t, seen.deletedEarly, int64(2))
	same(t, seen.exceeded, boundCount)
	status := nextWebhookStatus(&webhookScope{webhook: webhook, now: at(hour), observed: seen, urlChecked: true}, r.Observations, someBounds)
	same(t, status.DeliveriesDeletedEarly, int64(2))
	r.Observations.acknowledge(webhook, seen)
	same(t, r.Observations.snapshot(webhook).deletedEarly, int64(0))
}
