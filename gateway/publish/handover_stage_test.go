// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

// newHandOverStage is a stage over an API server whose creates take a while, and which answers writes of status with
// errors first.
func newHandOverStage(createTakes time.Duration, statusErrors ...error) (stage *handOverStage, statusWrites *int) {
	scheme := runtime.NewScheme()
	_ = v1alpha1.AddToScheme(scheme)
	statusWrites = new(int)
	api := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.WebhookDelivery{}).Build(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			select {
			case <-time.After(createTakes):
				return c.Create(ctx, object, options...)
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, object client.Object, options ...client.SubResourceUpdateOption) error {
			*statusWrites++
			if *statusWrites <= len(statusErrors) {
				return statusErrors[*statusWrites-1]
			}
			return c.SubResource(name).Update(ctx, object, options...)
		},
	})
	objects := &deliveryStore{
		client: api, index: store.NewDeliveryIndex(time.Now), writes: newWriteBudget(store.DefaultBacklogLimits(), time.Now),
		timeouts: writetimeout.New(time.Now), terminating: newTerminatingNamespaces(time.Now), now: time.Now,
	}
	return &handOverStage{
		store: &storeStage{objects: objects}, unstored: newUnstoredAttempts(time.Now),
		attempter: &firstAttempter{metrics: NewMetrics(prometheus.NewRegistry()), logger: slog.New(slog.DiscardHandler), now: time.Now},
	}, statusWrites
}

func TestOutcomeOfAnAttemptThatWasHandedOverIsWritten(t *testing.T) {
	deliveries := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "webhookdeliveries"}
	conflict := apierrors.NewConflict(deliveries, "dlv-a", errors.New("the object has been modified"))
	unavailable := apierrors.NewServiceUnavailable("not now")
	const attemptTimeout, quick, slow = time.Second, 10 * time.Millisecond, 7 * time.Second // after tries of 2 s and 4 s
	for name, c := range map[string]struct {
		createTakes  time.Duration
		statusErrors []error
		written      bool
		writes       int
	}{
		"the create is quick":                                {quick, nil, true, 1},
		"the create takes longer than the hand-over":         {slow, nil, true, 1},
		"the API server is away for a moment":                {quick, []error{unavailable, unavailable}, true, 3},
		"the controller was first":                           {quick, []error{conflict}, false, 1},
		"the create took longer, the controller was first":   {slow, []error{conflict}, false, 1},
		"the create took longer, the API server is away now": {slow, []error{unavailable}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stage, writes := newHandOverStage(c.createTakes, c.statusErrors...)
				webhook := webhookNamed("team-a/one", "https://one.example.com/")
				event := &Event{Type: "context.created", Data: []byte("{}")}
				s := newEventScope(Request{Namespace: "team-a", Event: event})
				s.eventID, s.accepted, s.timestamp = "evt_1", time.Now(), time.Now()
				var err error
				if s.payload, err = payload.Build(event.Type, s.timestamp, event.Data); err != nil {
					t.Fatal(err)
				}
				draft := &deliveryDraft{webhook: webhook, eventID: s.eventID, eventType: event.Type, payload: s.payload, accepted: s.accepted}
				a := &firstAttempt{
					attempter: stage.attempter, draft: draft, request: dispatcher.Request{Timeout: attemptTimeout},
					endpointRevision: signingsecret.EndpointRevision(webhook), startTime: time.Now(), done: make(chan struct{}),
				}
				time.AfterFunc(attemptTimeout/2, func() { a.result = succeededResult(); close(a.done) })

				if _, err := stage.create(t.Context(), s, &target{attempt: a}); err != nil {
					t.Fatal(err)
				}
				stage.attempter.unsettled.Wait()

				var stored v1alpha1.WebhookDelivery
				key := client.ObjectKey{Namespace: webhook.Namespace, Name: draft.name()}
				if err := stage.store.objects.client.Get(t.Context(), key, &stored); err != nil {
					t.Fatal(err)
				}
				if overdue := !time.Now().Before(stored.Spec.NotBefore.Time); overdue != (c.createTakes == slow) {
					t.Errorf("the controller may take over: %t", overdue)
				}
				outcome := handOverTakenOver
				if c.written {
					outcome = handOverSettled
				}
				if n := testutil.ToFloat64(stage.attempter.metrics.handOvers.WithLabelValues(outcome)); n != 1 {
					t.Errorf("%v are counted as %s", n, outcome)
				}
				if written := stored.Status.Attempts == 1 && len(stored.Status.AttemptLog) == 1; written != c.written || *writes != c.writes {
					t.Errorf("the outcome is written: %t, want %t, after %d writes, want %d", written, c.written, *writes, c.writes)
				}
			})
		})
	}
}
