// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

const (
	benchWebhooks   = 200
	benchDeliveries = 10_000
)

// BenchmarkPages measures what a page of the dashboard costs in the gateway, in
// a namespace with 200 webhooks and 10,000 deliveries, to a caller whose rights
// are known, and to one who is new.
func BenchmarkPages(b *testing.B) {
	cluster, handler := startBenchGateway(b, gateway.Options{Dashboard: true})
	if err := fill(b.Context(), cluster.Client); err != nil {
		b.Fatal(err)
	}
	accounts := 0
	newToken := func() string {
		accounts++
		token, err := cluster.Token(b.Context(), "bench", fmt.Sprintf("person-%d", accounts), []string{viewer, deliveryViewer, editor, publisher})
		if err != nil {
			b.Fatal(err)
		}
		return token
	}
	open := func(token, page string) *httptest.ResponseRecorder {
		request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/dashboard/ns/bench"+page, nil)
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Accept-Encoding", "gzip")
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		return recorder
	}
	known := newToken()
	last := "/webhooks/" + identity.WebhookID("bench", fmt.Sprintf("webhook-%03d", benchWebhooks-1))
	for deadline := time.Now().Add(eventualTimeout); open(known, last).Code != http.StatusOK; {
		if time.Now().After(deadline) {
			b.Fatal(open(known, last).Body)
		}
	}
	for name, page := range map[string]string{"overview": "/", "webhooks": "/webhooks", "webhook": last} {
		for _, caller := range []string{"known", "new"} {
			b.Run(name+"/"+caller, func(b *testing.B) {
				b.ReportAllocs()
				size := 0
				for range b.N {
					token := known
					if caller == "new" {
						b.StopTimer()
						token = newToken()
						b.StartTimer()
					}
					got := open(token, page)
					if got.Code != http.StatusOK {
						b.Fatal(got.Body)
					}
					size = got.Body.Len()
				}
				b.ReportMetric(float64(size), "bytes/page")
			})
		}
	}
}

// fill makes webhooks, and deliveries of them that have ended.
func fill(ctx context.Context, c client.Client) error {
	for i := range benchWebhooks {
		name := fmt.Sprintf("webhook-%03d", i)
		if err := c.Create(ctx, &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: "bench", Name: name},
			Spec:       v1alpha1.WebhookSpec{URL: "https://" + name + ".example.com/hooks", Events: []string{"context.*"}},
		}); err != nil {
			return err
		}
	}
	var all errgroup.Group
	all.SetLimit(8)
	for i := range benchDeliveries {
		all.Go(func() error { return ended(ctx, c, i) })
	}
	return all.Wait()
}

func ended(ctx context.Context, c client.Client, i int) error {
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: "bench", Name: fmt.Sprintf("delivery-%05d", i)},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: fmt.Sprintf("webhook-%03d", i%benchWebhooks)}, EventID: fmt.Sprintf("evt_%05d", i), EventType: eventType,
			Payload: `{"event":"` + eventType + `","timestamp":"2026-01-01T00:00:00Z","data":{"context_id":"ctx_1"}}`,
		},
	}
	if err := c.Create(ctx, delivery); err != nil {
		return err
	}
	now := metav1.NowMicro()
	before, _ := delivery.DeepCopyObject().(client.Object)
	delivery.Status = v1alpha1.WebhookDeliveryStatus{
		State: v1alpha1.DeliverySucceeded, Attempts: 1, ResponseStatus: new(int32(http.StatusOK)), CompletionTime: &now, LastAttemptTime: &now,
		AttemptLog: []v1alpha1.Attempt{{Number: 1, StartTime: now, DurationMilliseconds: int64(20 + i%400), ResponseStatus: new(int32(http.StatusOK))}},
	}
	if i%20 == 0 {
		delivery.Status.State, delivery.Status.ErrorMessage = v1alpha1.DeliveryFailed, "the endpoint answered 500"
		delivery.Status.AttemptLog[0].Reason = "HTTPStatus"
	}
	return c.Status().Patch(ctx, delivery, client.MergeFrom(before))
}
