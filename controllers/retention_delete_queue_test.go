// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
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

// hangingDeletes is an API server with an admission webhook that does not answer for
// one namespace.
type hangingDeletes struct {
	client.Client

	namespace string

	mu     sync.Mutex
	tried  int                  // in this namespace
	others map[string]time.Time // when others were deleted, by name
}

func (h *hangingDeletes) Delete(ctx context.Context, object client.Object, _ ...client.DeleteOption) error {
	if object.GetNamespace() != h.namespace {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.others[object.GetName()] = time.Now()
		return nil
	}
	h.mu.Lock()
	h.tried++
	h.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// TestRetentionOfAHangingNamespaceDelaysNoOther deletes what is overdue in two
// namespaces, in one of which no delete gets an answer.
func TestRetentionOfAHangingNamespaceDelaysNoOther(t *testing.T) {
	const hanging, well = 2000, 20
	synctest.Test(t, func(t *testing.T) {
		r := keeper(t, RetentionLimits{}, someWebhook(), at(0))
		r.Now, r.WriteTimeouts = time.Now, writetimeout.New(time.Now)
		api := &hangingDeletes{Client: r.Client, namespace: "hangs", others: map[string]time.Time{}}
		r.Client, r.Metrics = api, NewMetrics(prometheus.NewRegistry())
		r.webhooks, r.byUID = map[types.NamespacedName]*finishedDeliveries{}, map[types.UID]*finishedDelivery{}
		overdue := func(pass int) (entries []*finishedDelivery) {
			add := func(namespace string, n int) {
				for i := range n {
					name := fmt.Sprintf("%s-%d-%d", namespace, pass, i)
					entries = append(entries, &finishedDelivery{
						key: types.NamespacedName{Namespace: namespace, Name: name}, webhook: types.NamespacedName{Namespace: namespace, Name: "a"},
						uid: types.UID(name), state: v1alpha1.DeliverySucceeded, completed: time.Now(),
					})
				}
			}
			add("hangs", hanging)
			add("well", well)
			return entries
		}
		for pass := range 3 {
			began := time.Now()
			r.deleteAll(t.Context(), overdue(pass))
			if took := time.Since(began); took > retentionTick {
				t.Errorf("pass %d: everything else waits for %s", pass, took)
			}
			r.deletes.wait()
			time.Sleep(writetimeout.Max) // the rest is over
			for name, at := range api.others {
				if waited := at.Sub(began); strings.HasPrefix(name, fmt.Sprintf("well-%d-", pass)) && waited > time.Second {
					t.Fatalf("pass %d: %s was deleted after %s", pass, name, waited)
				}
			}
			left := len(r.byUID) + len(r.deletes.queued)
			if len(api.others) != well*(pass+1) || left != hanging*(pass+1) {
				t.Errorf("pass %d: %d are deleted and %d left", pass, len(api.others), left)
			}
		}
		if most := retentionWorkersMax + 2; api.tried > most {
			t.Errorf("%d deletes found out that none is answered, want at most %d", api.tried, most)
		}
	})
}

// TestQueuedDeliveryIsNotAddedAgain lists a delivery while it waits for its delete, as once
// an hour.
func TestQueuedDeliveryIsNotAddedAgain(t *testing.T) {
	r := keeper(t, RetentionLimits{}, someWebhook(), at(hour))
	old := finishedAt("old", v1alpha1.DeliverySucceeded, 0)
	r.Add(old)
	out := r.expired(t.Context())
	if due := r.deletes.add(out) + r.deletes.add(out); len(out) != 1 || due != 2 || len(r.deletes.namespaces[old.Namespace].waiting) != 1 {
		t.Errorf("%d deletes are due, want the one that waits, twice", due)
	}
	r.Add(old)
	if len(r.byUID) != 0 {
		t.Error("a delivery whose delete waits is in the index")
	}
	entry := r.deletes.next(r.Now())
	r.Add(old)
	if len(r.byUID) != 0 {
		t.Error("a delivery whose delete is under way is in the index")
	}
	r.deletes.end(entry, false, r.Now())
	r.Add(old)
	if len(r.byUID) != 1 {
		t.Error("a delivery whose delete has ended is not added")
	}
	r.deletes.add(nil)
	if len(r.deletes.namespaces)+len(r.deletes.queued)+len(r.deletes.order) != 0 {
		t.Error("something is left in the queue")
	}
}
