// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// bench is a delivery reconciler in a bubble of made up time, with a queue of
// one delivery and an API server in memory that can refuse statuses for minutes.
type bench struct {
	*DeliveryReconciler
	api      client.WithWatch
	refusal  error // of writes of a status
	statuses int   // written or refused
	sent     []int // numbers of attempts
	answers  []answer
	woken    chan struct{}
}

// readerCache is a cache that is never behind.
type readerCache struct {
	cache.Cache
	client.Reader
}

func (c readerCache) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return c.Reader.Get(ctx, key, object, options...)
}

func (c readerCache) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return c.Reader.List(ctx, list, options...)
}

func newBench(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{woken: make(chan struct{}, 1)}
	b.api = interceptor.NewClient(
		fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.WebhookDelivery{}).Build(),
		interceptor.Funcs{SubResourceUpdate: func(ctx context.Context, c client.Client, name string, object client.Object, options ...client.SubResourceUpdateOption) error {
			b.statuses++
			if b.refusal != nil {
				return b.refusal
			}
			return c.SubResource(name).Update(ctx, object, options...)
		}})
	observations := NewObservations(0, time.Now)
	meters := NewMetrics(prometheus.NewRegistry())
	b.DeliveryReconciler = &DeliveryReconciler{
		Registry:   &webhookRegistry{cached: b.api},
		Deliveries: readerCache{Reader: b.api}, Client: b.api, Live: b.api, Secrets: signingsecret.NewReader(b.api, time.Now), Observations: observations,
		Retainer: &Retainer{Client: b.api, Live: b.api, Observations: observations, Metrics: meters, Now: time.Now},
		Metrics:  meters, Forbidden: func() []netip.Prefix { return nil }, Now: time.Now, pending: newPendingWrites(), outcomeAdmission: newFairAdmission(1), slowOutcomeAdmission: newFairAdmission(1), releasedAdmission: newFairAdmission(1),
	}
	b.pool = newWorkerPool(4, time.Now, func(types.NamespacedName) { b.wake() })
	b.Runner = attempt.New(attempt.Options{Sender: b, Wake: func(types.NamespacedName) { b.wake() }})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Runner.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return b
}

// wake makes work look at the delivery at once.
func (b *bench) wake() {
	select {
	case b.woken <- struct{}{}:
	default:
	}
}

// Send implements attempt.Sender.
func (b *bench) Send(_ context.Context, request dispatcher.Request) (dispatcher.Result, error) {
	b.sent = append(b.sent, request.Attempt)
	met := b.answers[0]
	if len(b.answers) > 1 {
		b.answers = b.answers[1:]
	}
	time.Sleep(met.takes)
	return dispatcher.Result{StartedAt: time.Now().Add(-met.takes), Duration: met.takes, StatusCode: met.status, Reason: met.reason, Message: string(met.reason)}, nil
}

// work reconciles the delivery for so long, as the queue would.
func (b *bench) work(t *testing.T, key types.NamespacedName, for_ time.Duration) {
	t.Helper()
	end := time.Now().Add(for_)
	for {
		result, err := b.Reconcile(t.Context(), reconcile.Request{NamespacedName: key})
		wait := result.RequeueAfter
		if err != nil {
			wait = platformRetryMax
		}
		if wait == 0 || time.Now().Add(wait).After(end) {
			wait = time.Until(end)
		}
		select {
		case <-b.woken:
		case <-time.After(wait):
		}
		if !time.Now().Before(end) {
			return
		}
	}
}

// atHand is someDelivery and all that it needs, made now.
func atHand() (*v1alpha1.WebhookDelivery, []client.Object) {
	delivery := someDelivery(func(d *v1alpha1.WebhookDelivery) { d.CreationTimestamp.Time = time.Now() })
	return delivery, []client.Object{delivery, someWebhook(usesKeys), someSecret()}
}

func TestStatusThatTheAPIServerRefuses(t *testing.T) {
	kind := schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: "WebhookDelivery"}
	resource := schema.GroupResource{Group: kind.Group, Resource: "webhookdeliveries"}
	tests := []struct {
		name      string
		refusal   error
		unsettled []int // after 1 s, 10 s, 2 min and 5 min of refusals: places taken
		kept      []int // and outcomes that wait to be written
	}{
		{"it leaves no room: its place is free, and it is written when that works", apierrors.NewRequestEntityTooLargeError("x"), []int{0, 0, 0, 0}, []int{0, 0, 0, 0}},
		{"invalid: kept for half a minute", apierrors.NewInvalid(kind, "dlv-a", nil), []int{1, 0, 0, 0}, []int{1, 1, 0, 0}},
		{"forbidden: kept for half a minute, as while an API server starts", apierrors.NewForbidden(resource, "dlv-a", errors.New("no role")), []int{1, 0, 0, 0}, []int{1, 1, 0, 0}},
		{"by a policy that says not found", apierrors.NewGenericServerResponse(404, "update", resource, "dlv-a", "not here", 0, true), []int{1, 0, 0, 0}, []int{1, 1, 0, 0}},
		{"by a policy that says conflict", apierrors.NewConflict(resource, "dlv-a", errors.New("not here")), []int{1, 0, 0, 0}, []int{1, 1, 0, 0}},
		{"by a policy that says too many", apierrors.NewTooManyRequests("not here", 1), []int{1, 0, 0, 0}, []int{1, 1, 1, 1}},
		{"by an API server that is away: kept", apierrors.NewInternalError(errors.New("etcd is away")), []int{1, 0, 0, 0}, []int{1, 1, 1, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				delivery, objects := atHand()
				b := newBench(t, objects...)
				b.answers = []answer{taken}
				b.refusal = tt.refusal
				var unsettled, kept []int
				for _, for_ := range []time.Duration{second, 9 * second, 110 * second, 3 * minute} {
					b.work(t, client.ObjectKeyFromObject(delivery), for_)
					unsettled, kept = append(unsettled, b.Runner.Stats().Unsettled), append(kept, b.Runner.Stats().Unwritten-b.Runner.Stats().Unprepared)
				}
				same(t, unsettled, tt.unsettled)
				same(t, kept, tt.kept)
				if limit := 5 * 60 / int(namespaceRestMax.Seconds()); b.statuses < 5 || b.statuses > limit+10 {
					t.Errorf("%d writes in five minutes, want at most %d", b.statuses, limit)
				}
				same(t, b.sent, []int{1})
				b.refusal = nil
				b.work(t, client.ObjectKeyFromObject(delivery), minute)
				if err := b.api.Get(t.Context(), client.ObjectKeyFromObject(delivery), delivery); err != nil {
					t.Fatal(err)
				}
				same(t, []any{delivery.Status.State, delivery.Status.Attempts, b.Runner.Stats().Unsettled}, []any{v1alpha1.DeliverySucceeded, int32(1), 0})
				same(t, b.sent, []int{1})
				same(t, b.Observations.snapshot(someWebhook()).succeeded, int64(1))
			})
		})
	}
}
