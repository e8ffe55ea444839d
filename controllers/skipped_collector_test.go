// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
)

// letterbox is a collector beside an API server in memory.
type letterbox struct {
	*SkippedCollector

	api     client.WithWatch
	webhook *v1alpha1.Webhook
	patch   func(carryOut func() error) error
	now     time.Time
}

func newLetterbox(t *testing.T, reports map[string]string) *letterbox {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b := &letterbox{webhook: someWebhook(), now: at(0), patch: func(carryOut func() error) error { return carryOut() }}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: skipped.ConfigMap}, Data: reports}
	b.api = interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).WithObjects(object, b.webhook).Build(), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			return b.patch(func() error { return c.Patch(ctx, object, patch, options...) })
		},
	})
	b.SkippedCollector = &SkippedCollector{
		Client: b.api, Live: b.api, Object: client.ObjectKeyFromObject(object), Now: func() time.Time { return b.now },
		Observations: NewObservations(0, func() time.Time { return b.now }), Metrics: NewMetrics(prometheus.NewRegistry()),
	}
	return b
}

// counted is how many skipped deliveries the webhook has heard of.
func (b *letterbox) counted() int64 { return b.Observations.snapshot(b.webhook).skipped }

func (b *letterbox) data(t *testing.T) map[string]string {
	t.Helper()
	var object corev1.ConfigMap
	if err := b.api.Get(t.Context(), b.Object, &object); err != nil {
		t.Fatal(err)
	}
	return object.Data
}

func (b *letterbox) write(t *testing.T, gateway, value string) {
	t.Helper()
	var object corev1.ConfigMap
	if err := b.api.Get(t.Context(), b.Object, &object); err != nil {
		t.Fatal(err)
	}
	object.Data[gateway] = value
	if err := b.api.Update(t.Context(), &object); err != nil {
		t.Fatal(err)
	}
}

// reporting is a report of so many skipped deliveries of someWebhook.
func reporting(sequence, begun, full int64, changes ...func(*skipped.Webhook)) string {
	webhook := skipped.Webhook{Namespace: "shop", Name: "orders", UID: "webhook-1"}
	for _, change := range changes {
		change(&webhook)
	}
	return skipped.Encode(skipped.Report{Sequence: sequence, Begun: begun, Counts: map[skipped.Webhook]skipped.Count{webhook: {Full: full, Last: at(-minute)}}})
}

func TestReportsOfAllGatewaysAreTakenOnce(t *testing.T) {
	b := newLetterbox(t, map[string]string{
		"gateway-1": reporting(1, 1, 3), "gateway-2": reporting(7, 5, 4), "broken": "x",
		"former": reporting(1, 1, 100, func(w *skipped.Webhook) { w.UID = types.UID("another") }),
		"gone":   skipped.Encode(skipped.Report{Sequence: 9, Taken: at(-2 * hour)}),
	})
	for range 3 {
		if err := b.collect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	same(t, b.counted(), int64(7))
	same(t, b.Observations.snapshot(b.webhook).lastBacklogFull, at(-minute))
	same(t, b.data(t), map[string]string{
		"gateway-1": skipped.Encode(skipped.Report{Sequence: 1, Taken: at(0)}),
		"gateway-2": skipped.Encode(skipped.Report{Sequence: 7, Taken: at(0)}),
		"former":    skipped.Encode(skipped.Report{Sequence: 1, Taken: at(0)}),
	})
	b.now = at(2 * hour)
	if err := b.collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, len(b.data(t)), 0)
}

func TestReportsAreCountedOnceThoughAnswersAreLost(t *testing.T) {
	lost := errors.New("no answer")
	carriedOut := func(carryOut func() error) error { _ = carryOut(); return lost }
	never := func(func() error) error { return lost }
	for name, c := range map[string]struct {
		patch     func(carryOut func() error) error
		meanwhile string // the gateway writes
		want      int64
	}{
		"carried out": {carriedOut, "", 3},
		"carried out, and the gateway begins afresh": {carriedOut, reporting(9, 9, 2), 5},
		"not carried out":                          {never, "", 3},
		"not carried out, and the gateway adds":    {never, reporting(9, 1, 5), 5},
		"not carried out, with a report of others": {never, reporting(1, 1, 3), 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLetterbox(t, map[string]string{"gateway-1": reporting(1, 1, 3)})
			b.patch = c.patch
			if err := b.collect(t.Context()); !errors.Is(err, lost) {
				t.Fatal(err)
			}
			same(t, b.counted(), int64(0))
			if c.meanwhile != "" {
				b.write(t, "gateway-1", c.meanwhile)
			}
			b.patch = func(carryOut func() error) error { return carryOut() }
			for range 2 {
				if err := b.collect(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			same(t, b.counted(), c.want)
		})
	}
}

func TestSkippedDeliveriesAreInTheStatusAtOnceTheFirstTime(t *testing.T) {
	b := newLetterbox(t, map[string]string{"gateway-1": reporting(1, 1, 3)})
	var waits []time.Duration
	b.Observations.onChange(func(_ types.NamespacedName, after time.Duration) { waits = append(waits, after) })
	if err := b.collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := goodScope()
	s.webhook, s.observed, s.now = b.webhook, b.Observations.snapshot(b.webhook), b.now
	status := nextWebhookStatus(s, b.Observations, someBounds)
	same(t, []any{status.DeliveriesSkipped, status.LastSkippedTime.UTC()}, []any{int64(3), at(-minute)})
	b.Observations.acknowledge(b.webhook, s.observed)
	same(t, b.counted(), int64(0))
	b.webhook.Status = *status
	if err := b.api.Update(t.Context(), b.webhook); err != nil {
		t.Fatal(err)
	}
	b.write(t, "gateway-1", reporting(2, 2, 1))
	if err := b.collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, waits, []time.Duration{0, statusInterval})
}
