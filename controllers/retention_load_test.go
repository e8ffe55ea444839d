// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
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
	now, most, done int // deletes under way, at a time, and made
}

func (s *slowDeletes) Delete(context.Context, client.Object, ...client.DeleteOption) error {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	s.done++
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
	}{
		{name: "few, quickly: one worker", overdue: 20, takes: 5 * time.Millisecond, most: 1, within: 100 * time.Millisecond, batches: 3},
		{name: "many, quickly: a few workers", overdue: 400, takes: 5 * time.Millisecond, most: 4, within: time.Second, batches: 3},
		{name: "an API server that is busy: as many as are done within a tick", overdue: 100, takes: 300 * time.Millisecond, most: 50, within: time.Second, batches: 8},
		{name: "one that hardly answers: no more than there may be", overdue: 1000, takes: 2 * time.Second, most: retentionWorkersMax, within: 30 * time.Second, batches: 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := keeper(t, RetentionLimits{}, someWebhook(), at(0))
				api := &slowDeletes{takes: tt.takes}
				r.Client, r.Metrics = api, NewMetrics(prometheus.NewRegistry())
				for i := range tt.batches {
					batch := make([]*finishedDelivery, tt.overdue)
					for j := range batch {
						batch[j] = &finishedDelivery{uid: types.UID("d"), state: v1alpha1.DeliverySucceeded}
					}
					api.most = 0
					began := time.Now()
					r.deleteAll(t.Context(), batch)
					same(t, api.done, (i+1)*tt.overdue)
					if took := time.Since(began); i == tt.batches-1 && (api.most > tt.most || took > tt.within) {
						t.Errorf("%d workers took %s, want at most %d and %s", api.most, took, tt.most, tt.within)
					}
				}
			})
		})
	}
}
