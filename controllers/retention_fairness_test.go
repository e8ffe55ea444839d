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
			if took := time.Since(began); took > writetimeout.Max {
				t.Errorf("pass %d: everything else waits for %s", pass, took)
			}
			for name, at := range api.others {
				if waited := at.Sub(began); waited > time.Second {
					t.Fatalf("pass %d: %s was deleted after %s", pass, name, waited)
				}
			}
			if len(api.others) != well*(pass+1) || len(r.byUID) != hanging*(pass+1) {
				t.Errorf("pass %d: %d are deleted and %d left", pass, len(api.others), len(r.byUID))
			}
		}
		if most := retentionWorkersMax + 2; api.tried > most {
			t.Errorf("%d deletes found out that none is answered, want at most %d", api.tried, most)
		}
	})
}
