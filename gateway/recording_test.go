// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// recorder is an API server that takes a while for each object.
type recorder struct {
	takes time.Duration
	made  atomic.Int64
}

func (r *recorder) create(context.Context, *v1alpha1.WebhookDelivery) error {
	time.Sleep(r.takes)
	r.made.Add(1)
	return nil
}

// TestRecordsYield offers more successes than there is a budget for, for ten
// seconds, to API servers that are quick and slow.
func TestRecordsYield(t *testing.T) {
	limits := Records{Rate: 20, Burst: 20, Total: 20}
	for name, c := range map[string]struct {
		takes       time.Duration
		policy      v1alpha1.RecordPolicy
		least, most int64
	}{
		"quick: the budget":                           {time.Millisecond, v1alpha1.RecordBudgeted, 210, 225},
		"slow: two at a time, a twentieth of the day": {100 * time.Millisecond, v1alpha1.RecordBudgeted, 9, 11},
		"slow, and all are wanted: no rest":           {100 * time.Millisecond, v1alpha1.RecordAlways, 200, 500},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &recorder{takes: c.takes}
				r := newRecords(limits, api.create, func(string) bool { return false }, newWriteBudget(DefaultLimits(), time.Now), NewMetrics(prometheus.NewRegistry()), nil, time.Now)
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); r.run(ctx) }()
				webhook := hookNamed("one", "https://one.example.com/")
				webhook.Spec.Retention = &v1alpha1.Retention{Record: c.policy}
				for i := range 500 {
					r.offer(&flight{draft: &deliveryDraft{
						webhook: webhook, eventID: fmt.Sprint("e", i), payload: []byte("{}"), accepted: metav1.Now().Time,
					}})
					time.Sleep(20 * time.Millisecond)
				}
				if made := api.made.Load(); made < c.least || made > c.most {
					t.Errorf("%d records in ten seconds, want %d to %d", made, c.least, c.most)
				}
				if waiting := r.queue.size(); c.policy == v1alpha1.RecordBudgeted && waiting > int(limits.totalBurst()) {
					t.Errorf("%d records wait, more than are allowed at once", waiting)
				}
				stop()
				<-ended
			})
		})
	}
}
