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
)

// slowDeletes is an API server that takes its time to delete.
type slowDeletes struct {
	client.Client

	takes time.Duration

	mu              sync.Mutex
	now, most, done int                  // deletes under way, at a time, and made
	last            map[string]time.Time // delete of each namespace
}

func (s *slowDeletes) Delete(_ context.Context, object client.Object, _ ...client.DeleteOption) error {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	s.done++
	s.last[object.GetNamespace()] = time.Now()
	return nil
}

// TestRetentionKeepsPace deletes what has become overdue in a second, again and
// again.
func TestRetentionKeepsPace(t *testing.T) {
	tests := []struct {
		name    string
		overdue int
		takes   time.Duration
		most    int           // workers in the end
		within  time.Duration // takes a batch in the end
		batches int
		every   int // ticks until the next batch
	}{
		{name: "few, quickly: one worker", overdue: 20, takes: 5 * time.Millisecond, most: 1, within: 100 * time.Millisecond, batches: 3, every: 1},
		{name: "many, quickly: a few workers", overdue: 400, takes: 5 * time.Millisecond, most: 4, within: time.Second, batches: 3, every: 1},
		{name: "an API server that is busy: as many as are done within a tick", overdue: 100, takes: 300 * time.Millisecond, most: 50, within: time.Second, batches: 8, every: 1},
		{name: "one that hardly answers: no more than there may be", overdue: 1000, takes: 2 * time.Second, most: retentionWorkersMax, within: 30 * time.Second, batches: 4, every: 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := keeper(t, RetentionLimits{}, someWebhook(), at(0))
				api := &slowDeletes{takes: tt.takes, last: map[string]time.Time{}}
				r.Client, r.Metrics = api, NewMetrics(prometheus.NewRegistry())
				began := time.Now()
				for tick := range tt.batches * tt.every {
					var batch []*finishedDelivery
					if tick%tt.every == 0 {
						for i := range tt.overdue {
							key := types.NamespacedName{Namespace: fmt.Sprint("batch-", tick/tt.every), Name: fmt.Sprint(i)}
							batch = append(batch, &finishedDelivery{key: key, uid: types.UID(key.String()), state: v1alpha1.DeliverySucceeded})
						}
						api.mu.Lock()
						api.most = 0
						api.mu.Unlock()
					}
					time.Sleep(time.Until(began.Add(time.Duration(tick) * retentionTick)))
					r.deleteAll(t.Context(), batch)
				}
				r.deletes.wait()
				same(t, api.done, tt.batches*tt.overdue)
				last := tt.batches - 1
				due := began.Add(time.Duration(last*tt.every) * retentionTick)
				if took := api.last[fmt.Sprint("batch-", last)].Sub(due); api.most > tt.most || took > tt.within {
					t.Errorf("%d workers took %s, want at most %d and %s", api.most, took, tt.most, tt.within)
				}
			})
		})
	}
}
