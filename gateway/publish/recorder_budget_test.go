// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// slowAPIServer is an API server that takes its latency for each create.
type slowAPIServer struct {
	latency time.Duration
	created atomic.Int64
}

func (r *slowAPIServer) create(context.Context, *v1alpha1.WebhookDelivery) error {
	time.Sleep(r.latency)
	r.created.Add(1)
	return nil
}

// TestRecorderYieldsToASlowAPIServer offers more successes than the budget allows, for ten seconds, to API servers that
// are quick and slow.
func TestRecorderYieldsToASlowAPIServer(t *testing.T) {
	limits := RecordBudget{Rate: 20, Burst: 20, Total: 20}
	for name, c := range map[string]struct {
		takes       time.Duration
		least, most int64
	}{
		"a quick API server takes the whole budget":                       {time.Millisecond, 210, 225},
		"a slow API server is asked a twentieth of the time, two at once": {100 * time.Millisecond, 9, 11},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &slowAPIServer{latency: c.takes}
				r := newRecorder(limits, api.create, func(string) bool { return false }, newWriteBudget(store.DefaultBacklogLimits(), time.Now), NewMetrics(prometheus.NewRegistry()), nil, time.Now)
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); r.run(ctx) }()
				webhook := webhookNamed("one", "https://one.example.com/")
				for i := range 500 {
					r.offer(&firstAttempt{draft: &deliveryDraft{
						webhook: webhook, eventID: fmt.Sprint("e", i), payload: []byte("{}"), accepted: metav1.Now().Time,
					}})
					time.Sleep(20 * time.Millisecond)
				}
				if created := api.created.Load(); created < c.least || created > c.most {
					t.Errorf("%d records in ten seconds, want %d to %d", created, c.least, c.most)
				}
				if waiting := r.queue.size(); waiting > int(limits.totalBurst()) {
					t.Errorf("%d records wait, more than are allowed at once", waiting)
				}
				stop()
				<-ended
			})
		})
	}
}

// TestUnrecordedSuccessesCountOnceThoughAnswersGetLost sums up the counts that records carry and those still
// unreported, with an API server whose answers get lost in every way.
func TestUnrecordedSuccessesCountOnceThoughAnswersGetLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stored, n := map[string]int64{}, 0
		create := func(_ context.Context, object *v1alpha1.WebhookDelivery) error {
			n++
			switch n % 5 {
			case 1: // the create never arrives
				return &UnavailableError{"storing", errors.New("no answer")}
			case 2:
				return &CreateError{Cause: errors.New("not here"), unstored: true}
			case 3:
				stored[object.Name] = store.UnrecordedCount(object)
				return &UnavailableError{"storing", errors.New("the answer is lost")}
			}
			stored[object.Name] = store.UnrecordedCount(object)
			return nil
		}
		r := newRecorder(RecordBudget{Rate: 1, Burst: 1, Total: 1}, create, func(string) bool { return false },
			newWriteBudget(store.DefaultBacklogLimits(), time.Now), NewMetrics(prometheus.NewRegistry()), nil, time.Now)
		webhook := webhookNamed("one", "https://one.example.com/")
		const offered = 200
		for i := range offered {
			success := &firstAttempt{draft: &deliveryDraft{webhook: webhook, eventID: fmt.Sprint("e", i), payload: []byte("{}"), accepted: time.Now()}}
			if i%7 == 0 {
				r.record(success)
			} else {
				r.countUnrecorded(success)
			}
			time.Sleep(time.Second)
		}
		for !r.confirm(webhook.UID) {
			time.Sleep(time.Second)
		}
		reported := r.countUnreported(webhook.UID)
		for _, others := range stored {
			reported += 1 + others
		}
		if reported != offered {
			t.Errorf("%d successes are reported, want %d", reported, offered)
		}
	})
}

func TestRecordThatIsNotStoredSpendsNoBytes(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		behind  bool
		counted bool
	}{
		"the record is stored":      {nil, false, true},
		"the create gets no answer": {&CreateError{Cause: errors.New("no answer")}, false, true},
		"the create is refused":     {&CreateError{Cause: errors.New("not here"), unstored: true}, false, false},
		"the controller is behind":  {nil, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			limits := store.DefaultBacklogLimits()
			limits.WriteBytesPerNamespace = 1
			writes := newWriteBudget(limits, func() time.Time { return now })
			create := func(context.Context, *v1alpha1.WebhookDelivery) error { return c.err }
			r := newRecorder(RecordBudget{Rate: 1, Burst: 1, Total: 1}, create, func(string) bool { return c.behind }, writes, NewMetrics(prometheus.NewRegistry()), nil, func() time.Time { return now })
			webhook := webhookNamed("one", "https://one.example.com/")
			reserved, refused := writes.reserve(webhook.Namespace, 100, 1)
			if refused != nil {
				t.Fatal(refused)
			}
			reserved[0].release() // the attempt has succeeded
			r.offer(&firstAttempt{draft: &deliveryDraft{webhook: webhook, eventID: "e", payload: []byte("{}"), accepted: now, reservation: reserved[0]}})
			if writes.checkBytes(webhook.Namespace) == nil {
				t.Error("what waits for its object is not counted")
			}
			write := r.queue.dequeue(now, false)
			r.record(write.attempt)
			if counted := writes.checkBytes(webhook.Namespace) != nil; counted != c.counted {
				t.Errorf("counted: %t, want %t", counted, c.counted)
			}
		})
	}
}

func TestUnconfirmedRecordsAreConfirmedWhileAnotherNamespaceHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const webhooks = 50
		hangs := true
		var closed atomic.Int64
		create := func(ctx context.Context, object *v1alpha1.WebhookDelivery) error {
			if hangs || object.Namespace == "hangs" {
				<-ctx.Done()
				return &UnavailableError{"storing", ctx.Err()}
			}
			closed.Add(1)
			return nil
		}
		r := newRecorder(RecordBudget{Rate: 1, Burst: 1, Total: 1}, create, func(string) bool { return false },
			newWriteBudget(store.DefaultBacklogLimits(), time.Now), NewMetrics(prometheus.NewRegistry()), nil, time.Now)
		for _, namespace := range []string{"hangs", "well"} {
			for i := range webhooks {
				webhook := webhookNamed(fmt.Sprint(i), "https://one.example.com/")
				webhook.Namespace, webhook.UID = namespace, types.UID(fmt.Sprint(namespace, i))
				r.record(&firstAttempt{draft: &deliveryDraft{webhook: webhook, eventID: "e", payload: []byte("{}"), accepted: time.Now()}})
			}
		}
		hangs = false
		began := time.Now()
		r.confirmAll()
		if took := time.Since(began); closed.Load() != webhooks || took > recordTimeout {
			t.Errorf("%d of %d records are confirmed, in %s", closed.Load(), webhooks, took)
		}
	})
}
