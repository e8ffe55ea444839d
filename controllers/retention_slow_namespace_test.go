// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

// slowAdmission is an API server with an admission webhook that takes its time for some
// namespaces, and lets everything pass.
type slowAdmission struct {
	client.Client

	takes map[string]time.Duration // by namespace

	mu      sync.Mutex
	deleted map[string]time.Time // by name
	count   map[string]int       // by namespace
}

func (s *slowAdmission) Delete(ctx context.Context, object client.Object, _ ...client.DeleteOption) error {
	select {
	case <-time.After(max(s.takes[object.GetNamespace()], time.Millisecond)):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleted[object.GetName()] = time.Now()
	s.count[object.GetNamespace()]++
	return nil
}

func expiredIn(namespace string, batch, n int) (entries []*finishedDelivery) {
	for i := range n {
		name := fmt.Sprintf("%s-%d-%d", namespace, batch, i)
		entries = append(entries, &finishedDelivery{
			key: types.NamespacedName{Namespace: namespace, Name: name}, webhook: types.NamespacedName{Namespace: namespace, Name: "a"},
			uid: types.UID(name), state: v1alpha1.DeliverySucceeded, completed: time.Now(),
		})
	}
	return entries
}

// TestRetentionOfASlowNamespaceDelaysNoOther deletes what becomes overdue in one namespace
// each second, while the deletes of others succeed after 2.5 s.
func TestRetentionOfASlowNamespaceDelaysNoOther(t *testing.T) {
	const well, ticks, late = 20, 20, 2 * time.Second
	for _, slow := range []int{1, 2, 10} {
		t.Run(fmt.Sprintf("%d slow namespaces", slow), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := keeper(t, RetentionLimits{}, someWebhook(), at(0))
				r.Now, r.WriteTimeouts, r.Metrics = time.Now, writetimeout.New(time.Now), NewMetrics(prometheus.NewRegistry())
				api := &slowAdmission{Client: r.Client, takes: map[string]time.Duration{}, deleted: map[string]time.Time{}, count: map[string]int{}}
				r.Client = api
				r.webhooks, r.byUID = map[types.NamespacedName]*finishedDeliveries{}, map[types.UID]*finishedDelivery{}
				var backlog []*finishedDelivery
				for i := range slow {
					namespace := fmt.Sprint("slow", i)
					api.takes[namespace] = 2500 * time.Millisecond
					r.WriteTimeouts.Do(t.Context(), namespace, func(context.Context) error { time.Sleep(2500 * time.Millisecond); return nil })
					backlog = append(backlog, expiredIn(namespace, 0, 2000/slow)...)
				}
				began := time.Now()
				for tick := range ticks {
					due := began.Add(time.Duration(tick) * retentionTick)
					time.Sleep(time.Until(due))
					r.deleteAll(t.Context(), append(backlog, expiredIn("well", tick, well)...))
					backlog = nil
				}
				r.deletes.wait()
				for tick := range ticks {
					for i := range well {
						name := fmt.Sprintf("well-%d-%d", tick, i)
						due := began.Add(time.Duration(tick) * retentionTick)
						api.mu.Lock()
						at, deleted := api.deleted[name]
						api.mu.Unlock()
						if !deleted || at.Sub(due) > late {
							t.Fatalf("%s is deleted: %t, %s after it was due", name, deleted, at.Sub(due))
						}
					}
				}
			})
		})
	}
}
