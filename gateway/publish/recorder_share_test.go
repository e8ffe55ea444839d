// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// countingAPIServer is an API server that counts creates, and lets those in some namespaces hang.
type countingAPIServer struct {
	hanging map[string]bool

	mu        sync.Mutex
	createdAt map[string][]time.Time // by namespace
}

func (r *countingAPIServer) create(ctx context.Context, object *v1alpha1.WebhookDelivery) error {
	if r.hanging[object.Namespace] {
		<-ctx.Done()
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.createdAt == nil {
		r.createdAt = map[string][]time.Time{}
	}
	r.createdAt[object.Namespace] = append(r.createdAt[object.Namespace], time.Now())
	return nil
}

func (r *countingAPIServer) count(namespace string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.createdAt[namespace])
}

// offerSuccess offers the n-th success of a webhook to the recorder.
func offerSuccess(r *recorder, namespace, webhook string, n int) {
	object := webhookNamed(webhook, "https://one.example.com/")
	object.Namespace, object.UID = namespace, types.UID(namespace+"/"+webhook)
	r.offer(&firstAttempt{draft: &deliveryDraft{webhook: object, eventID: fmt.Sprint("e", n), payload: []byte("{}"), accepted: time.Now()}})
}

// startRecorder runs a recorder until the test calls stop.
func startRecorder(t *testing.T, limits RecordBudget, api *countingAPIServer) (r *recorder, stop func()) {
	t.Helper()
	r = newRecorder(limits, api.create, func(string) bool { return false }, newWriteBudget(store.DefaultBacklogLimits(), time.Now), NewMetrics(prometheus.NewRegistry()), nil, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.run(ctx) }()
	return r, func() { cancel(); <-ended }
}

func TestOneNamespaceDoesNotUseUpTheRecordBudget(t *testing.T) {
	for _, greedy := range []int{1, 2, 6} {
		t.Run(fmt.Sprint(greedy, " that want all of it"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &countingAPIServer{}
				r, stop := startRecorder(t, RecordBudget{Rate: 5, Burst: 10, Total: 20}, api)
				const seconds, webhooks = 30, 10
				for i := range seconds * 10 {
					for n := range greedy * webhooks {
						offerSuccess(r, fmt.Sprint("greedy-", n%greedy), fmt.Sprint("w", n/greedy), i)
					}
					if i%10 == 0 {
						offerSuccess(r, "modest", "one", i)
					}
					time.Sleep(100 * time.Millisecond)
				}
				stop()
				var all []int
				for n := range greedy {
					all = append(all, api.count(fmt.Sprint("greedy-", n)))
				}
				t.Logf("records of the greedy: %v", all)
				// A success may come at the moment at which other namespaces have taken what was left of the budget.
				if created := api.count("modest"); created < seconds*3/4 {
					t.Errorf("%d records of the %d successes of a namespace that has one a second", created, seconds)
				}
				for _, created := range all {
					if least := (20*seconds - seconds) / greedy * 2 / 3; created < least {
						t.Errorf("a greedy namespace has %d records, less than %d", created, least)
					}
				}
			})
		})
	}
}

func TestHangingCreatesOfANamespaceDelayNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &countingAPIServer{hanging: map[string]bool{"a": true, "b": true, "c": true, "d": true}} // more than recordWorkers
		r, stop := startRecorder(t, RecordBudget{Rate: 5, Burst: 50, Total: 100}, api)
		const seconds = 30
		for i := range seconds * 4 {
			for namespace := range api.hanging {
				for n := range 10 {
					offerSuccess(r, namespace, fmt.Sprint("w", n), i)
				}
			}
			if i%4 == 0 {
				offerSuccess(r, "prompt", "one", i)
				offerSuccess(r, "prompt", "two", i)
			}
			time.Sleep(250 * time.Millisecond)
			synctest.Wait()
			// A create counts as hanging only after recordHangTime.
			if made, want := api.count("prompt"), (i/4+1)*2; made != want && i >= 3 {
				t.Errorf("after %d ms there are %d records of %d", (i+1)*250, made, want)
			}
		}
		stop()
	})
}
