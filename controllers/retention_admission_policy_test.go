// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

// TestRetentionUnderAPolicy deletes objects that an admission policy of the cluster checks.
func TestRetentionUnderAPolicy(t *testing.T) {
	denies := func(code int32, reason metav1.StatusReason) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: code, Reason: reason, Message: `admission webhook "keep.example" denied the request: not now`,
		}}
	}
	for name, policy := range map[string]struct {
		takes  time.Duration
		denies error
		tries  int // until it is deleted; 0: never
	}{
		"quick":            {time.Millisecond, nil, 1},
		"slow":             {2500 * time.Millisecond, nil, 2},
		"very slow":        {29 * time.Second, nil, 5},
		"denying with 403": {time.Millisecond, denies(http.StatusForbidden, metav1.StatusReasonForbidden), 0},
		"denying with 404": {time.Millisecond, denies(http.StatusNotFound, metav1.StatusReasonNotFound), 0},
		"denying with 409": {time.Millisecond, denies(http.StatusConflict, metav1.StatusReasonConflict), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := keeper(t, RetentionLimits{Succeeded: hour, MaxCount: 1, MaxBytes: 1 << 20}, someWebhook(), at(0))
				r.Now, r.WriteTimeouts, r.Metrics = time.Now, writetimeout.New(time.Now), NewMetrics(prometheus.NewRegistry())
				deleted := false
				under := interceptor.Funcs{Delete: func(ctx context.Context, _ client.WithWatch, _ client.Object, _ ...client.DeleteOption) error {
					select {
					case <-time.After(policy.takes):
					case <-ctx.Done():
						return ctx.Err()
					}
					deleted = policy.denies == nil
					return policy.denies
				}}
				r.Client = fake.NewClientBuilder().WithScheme(r.Client.Scheme()).WithInterceptorFuncs(under).Build()
				r.Live = r.Client
				entry := &finishedDelivery{key: client.ObjectKey{Namespace: "team", Name: "old"}, uid: "old", state: v1alpha1.DeliverySucceeded}
				tries := 0
				for !deleted && tries < 6 {
					tries++
					r.deleteAll(t.Context(), []*finishedDelivery{entry})
					r.deletes.wait()
					time.Sleep(deleteRestMax) // its namespace rests after a try without an answer
					if r.byUID[entry.uid] == nil && !deleted {
						t.Fatal("it is forgotten, and not deleted")
					}
				}
				if policy.tries == 0 && deleted || policy.tries > 0 && tries != policy.tries {
					t.Errorf("deleted: %t after %d tries, want %d", deleted, tries, policy.tries)
				}
			})
		})
	}
}
