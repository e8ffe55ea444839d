// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

// testSize is how many a spec makes: as many as it claims, or a number that fits a
// run of all tests.
func testSize(usual, full int) int {
	if os.Getenv("PROCESS_FULL") != "" {
		return full
	}
	return usual
}

// reportFigure reports a figure.
func reportFigure(format string, args ...any) {
	AddReportEntry(fmt.Sprintf(format, args...), ReportEntryVisibilityAlways)
}

// createSuspended makes a webhook that collects.
func createSuspended(ctx context.Context, namespace, name string) *v1alpha1.Webhook {
	GinkgoHelper()
	webhook := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.WebhookSpec{URL: endpoint.URL("/" + name), Events: []string{"*"}, Suspend: true},
	}
	Expect(cluster.Client.Create(ctx, webhook)).To(Succeed())
	return webhook
}

// createDeliveries makes deliveries as the gateway does, accepted a moment after another.
func createDeliveries(ctx context.Context, webhook *v1alpha1.Webhook, from, n int) {
	GinkgoHelper()
	var failed atomic.Pointer[error]
	workqueue.ParallelizeUntil(ctx, 8, n, func(i int) {
		eventID := fmt.Sprintf("evt_%s_%d", webhook.Name, from+i)
		owner := metav1.NewControllerRef(webhook, v1alpha1.GroupVersion.WithKind("Webhook"))
		owner.BlockOwnerDeletion = nil
		err := cluster.Client.Create(ctx, &v1alpha1.WebhookDelivery{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: webhook.Namespace, Name: identity.DeliveryName(eventID, string(webhook.UID)),
				Labels:          map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway},
				OwnerReferences: []metav1.OwnerReference{*owner},
			},
			Spec: v1alpha1.WebhookDeliverySpec{
				WebhookRef: v1alpha1.WebhookReference{Name: webhook.Name}, EventID: eventID, EventType: "context.created",
				Payload:      `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{}}`,
				AcceptedTime: new(metav1.NewMicroTime(time.Now().UTC().Truncate(time.Microsecond))),
			},
		})
		if err != nil {
			failed.Store(&err)
		}
	})
	if err := failed.Load(); err != nil {
		Expect(*err).NotTo(HaveOccurred())
	}
}

// readAllPages reads every page of a list of deliveries and says how long each took.
func readAllPages(ctx context.Context, token, webhookID string, limit int, between func()) (all []rest.Delivery, took []time.Duration) {
	GinkgoHelper()
	query := url.Values{"limit": {fmt.Sprint(limit)}}
	for {
		started := time.Now()
		page := decode[rest.DeliveryList](clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhookID+"/deliveries?"+query.Encode(), nil), http.StatusOK)
		took = append(took, time.Since(started))
		all = append(all, page.Data...)
		if page.NextCursor == nil {
			return all, took
		}
		query.Set("cursor", *page.NextCursor)
		between()
	}
}

var _ = Describe("lists of deliveries", func() {
	It("page through all deliveries of the start while new ones arrive", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "viewer", viewer, deliveryViewer)
		webhook := createSuspended(ctx, namespace, "paged")
		awaitWebhooks(ctx, clientFor(token), 1)
		n := testSize(1000, 5000)
		createDeliveries(ctx, webhook, 0, n)
		webhookID := identity.WebhookID(namespace, webhook.Name)
		Eventually(ctx, func() int {
			all, _ := readAllPages(ctx, token, webhookID, 100, func() {})
			return len(all)
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(n))

		added := n
		all, took := readAllPages(ctx, token, webhookID, 20, func() {
			createDeliveries(ctx, webhook, added, 1)
			added++
		})
		seen := map[string]int{}
		for i, delivery := range all {
			seen[delivery.EventID]++
			Expect(seen[delivery.EventID]).To(Equal(1), "%s stands there twice", delivery.EventID)
			if i > 0 {
				Expect(delivery.CreatedAt).NotTo(BeTemporally(">", all[i-1].CreatedAt), "newest first")
			}
		}
		for i := range n {
			Expect(seen).To(HaveKey(fmt.Sprintf("evt_paged_%d", i)))
		}
		slices.Sort(took)
		reportFigure("%d pages of 20 out of %d deliveries, new ones arriving: p50 %s, p99 %s", len(took), n, took[len(took)/2], took[len(took)*99/100])
		Expect(took[len(took)*99/100]).To(BeNumerically("<", maxPageTime))
	}, NodeTimeout(5*time.Minute))

	It("filter by state, and refuse a cursor of another list", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "viewer", viewer, deliveryViewer)
		webhook, other := createSuspended(ctx, namespace, "one"), createSuspended(ctx, namespace, "two")
		awaitWebhooks(ctx, clientFor(token), 2)
		createDeliveries(ctx, webhook, 0, 5)
		createDeliveries(ctx, other, 0, 1)
		path := "/v1/webhooks/" + identity.WebhookID(namespace, "one") + "/deliveries"
		var page rest.DeliveryList
		Eventually(ctx, func() []rest.Delivery {
			page = decode[rest.DeliveryList](clientFor(token).call(ctx, http.MethodGet, path+"?limit=2&status=pending", nil), http.StatusOK)
			return page.Data
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveLen(2))
		Expect(decode[rest.DeliveryList](clientFor(token).call(ctx, http.MethodGet, path+"?status=failed", nil), http.StatusOK).Data).To(BeEmpty())
		Eventually(ctx, func() *string {
			page = decode[rest.DeliveryList](clientFor(token).call(ctx, http.MethodGet, path+"?limit=2&status=pending", nil), http.StatusOK)
			return page.NextCursor
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).ShouldNot(BeNil())
		cursor := "cursor=" + url.QueryEscape(*page.NextCursor)
		decode[rest.DeliveryList](clientFor(token).call(ctx, http.MethodGet, path+"?status=pending&"+cursor, nil), http.StatusOK)
		for name, elsewhere := range map[string]string{
			"without the filter":    path + "?" + cursor,
			"of another webhook":    "/v1/webhooks/" + identity.WebhookID(namespace, "two") + "/deliveries?status=pending&" + cursor,
			"with a letter changed": path + "?status=pending&" + cursor[:len(cursor)-1] + "_",
			"of the webhooks":       "/v1/webhooks?" + cursor,
		} {
			problem := decodeProblem(clientFor(token).call(ctx, http.MethodGet, elsewhere, nil), http.StatusUnprocessableEntity)
			Expect(problem.Errors[0].Field).To(Equal("query.cursor"), name)
		}
	})

	It("lead to a delivery's attempts and exact payload, also if it was made by hand", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "viewer", deliveryViewer)
		webhook := createSuspended(ctx, namespace, "one")
		byHand := &v1alpha1.WebhookDelivery{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "by-hand"},
			Spec: v1alpha1.WebhookDeliverySpec{
				WebhookRef: v1alpha1.WebhookReference{Name: webhook.Name}, EventID: "evt_by_hand", EventType: "context.created",
				Payload: `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{"a<b":"ü & \\u0007"}}`,
			},
		}
		Expect(cluster.Client.Create(ctx, byHand)).To(Succeed())
		id := identity.DeliveryID(byHand.Name, string(byHand.UID))
		var got answer
		Eventually(ctx, func() int {
			got = clientFor(token).call(ctx, http.MethodGet, "/v1/deliveries/"+id, nil)
			return got.status
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(http.StatusOK))
		detail := decode[rest.DeliveryDetail](got, http.StatusOK)
		Expect(detail.Payload).To(Equal(byHand.Spec.Payload))
		Expect(detail.Delivery).To(Equal(rest.Delivery{
			DeliveryID: id, WebhookID: identity.WebhookID(namespace, "one"), Event: "context.created", EventID: "evt_by_hand",
			Status: rest.DeliveryPending, CreatedAt: byHand.CreationTimestamp.UTC(),
		}))
		Expect(got.body).To(ContainSubstring(`"response_status":null`), "absent values are null")
		Expect(cluster.Client.Delete(ctx, byHand)).To(Succeed())
		Eventually(ctx, func() int { return clientFor(token).call(ctx, http.MethodGet, "/v1/deliveries/"+id, nil).status }).
			WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(http.StatusNotFound))
	})

	It("are served for a webhook made elsewhere within a second", func(ctx SpecContext) {
		second, err := cluster.StartGateway(ctx, gatewayOptions())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(second.Kill)
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "viewer", viewer)
		api := clientFor(token)
		api.base = second.URL
		Expect(api.call(ctx, http.MethodGet, "/v1/webhooks", nil).status).To(Equal(http.StatusOK)) // rights are known
		var took []time.Duration
		for i := range 10 {
			name := fmt.Sprintf("hook-%d", i)
			createSuspended(ctx, namespace, name)
			created := time.Now()
			Eventually(ctx, func() int {
				return api.call(ctx, http.MethodGet, "/v1/webhooks/"+identity.WebhookID(namespace, name), nil).status
			}).WithTimeout(eventualTimeout).WithPolling(5 * time.Millisecond).Should(Equal(http.StatusOK))
			took = append(took, time.Since(created))
		}
		slices.Sort(took)
		reportFigure("a webhook shows on another replica: median %s, worst %s", took[5], took[9])
		Expect(took[9]).To(BeNumerically("<", time.Second))
	})
})

var _ = Describe("an API server", func() {
	It("that is away means 503 and never 401, and known callers are served from memory", func(ctx SpecContext) {
		proxy, err := cluster.StartAPIProxy()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(proxy.Close)
		options := gatewayOptions()
		options.Proxy = proxy
		alone, err := cluster.StartGateway(ctx, options)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(alone.Kill)
		namespace := newNamespace(ctx)
		known, unknown := newAccount(ctx, namespace, "viewer", viewer), newAccount(ctx, namespace, "other", viewer)
		call := func(token string) answer {
			caller := clientFor(token)
			caller.base = alone.URL
			return caller.call(ctx, http.MethodGet, "/v1/webhooks", nil)
		}
		Expect(call(known).status).To(Equal(http.StatusOK))
		proxy.Close()
		Expect(call(known).status).To(Equal(http.StatusOK), "rights that were asked for hold for a while")
		problem := decodeProblem(call(unknown), http.StatusServiceUnavailable)
		Expect(problem.Reason).To(Equal("Unavailable"))
		Expect(call(unknown).header.Get("Retry-After")).NotTo(BeEmpty())
	})

	It("that revoked a token is obeyed within 75 seconds", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "viewer", viewer)
		Expect(clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks", nil).status).To(Equal(http.StatusOK))
		revoked := time.Now()
		deleteAccount(ctx, types.NamespacedName{Namespace: namespace, Name: "viewer"})
		Eventually(ctx, func() int { return clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks", nil).status }).
			WithTimeout(75 * time.Second).WithPolling(time.Second).Should(Equal(http.StatusUnauthorized))
		reportFigure("a token is refused %s after its ServiceAccount was deleted", time.Since(revoked).Round(time.Second))
	}, NodeTimeout(2*time.Minute))
})
