// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// startLimitedGateway starts a gateway with the given flags for one spec, and returns a client of it.
func startLimitedGateway(ctx context.Context, token string, args ...string) apiClient {
	GinkgoHelper()
	own, err := cluster.StartGateway(ctx, gatewayOptions(args...))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(own.Kill)
	return apiClient{base: own.URL, token: token}
}

// tightQuotaFlags set quotas that a few events use up: 4 deliveries for a webhook, 20 for a namespace.
func tightQuotaFlags(more ...string) []string {
	return append([]string{"--backlog-per-webhook=4", "--backlog-per-namespace=20", "--backlog=100000"}, more...)
}

// countUnfinished counts the unfinished deliveries of all namespaces.
func countUnfinished(ctx context.Context) (n int) {
	GinkgoHelper()
	var list v1alpha1.WebhookDeliveryList
	Expect(cluster.Client.List(ctx, &list)).To(Succeed())
	for _, delivery := range list.Items {
		if state := delivery.Status.State; state != v1alpha1.DeliverySucceeded && state != v1alpha1.DeliveryFailed {
			n++
		}
	}
	return n
}

// publishAndCount publishes one more event, and counts its deliveries and skipped webhooks.
func publishAndCount(ctx context.Context, api apiClient) (deliveries, skipped int) {
	GinkgoHelper()
	got := publishEvent(ctx, api, eventBody(""))
	return len(got.Deliveries), len(got.Skipped)
}

var _ = Describe("an event for a full backlog", func() {
	var namespace, token string
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		token = newAccount(ctx, namespace, "publisher", publisher, viewer)
	})

	It("skips a webhook whose backlog is full, and names it in the answer", func(ctx SpecContext) {
		api := startLimitedGateway(ctx, token, tightQuotaFlags()...)
		webhooks := createSuspendedWebhooks(ctx, api, namespace, "one", "two")
		change(ctx, webhooks[0], `{"spec":{"events":["context.*"]}}`)
		change(ctx, webhooks[1], `{"spec":{"events":["context.failed"]}}`)
		Eventually(ctx, func() string { return api.call(ctx, http.MethodGet, "/v1/webhooks", nil).body }).
			WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(And(ContainSubstring("context.*"), ContainSubstring("context.failed")))
		first := publishEvent(ctx, api, eventBody(`,"id":"e0"`))
		for range 3 {
			Expect(publishEvent(ctx, api, eventBody("")).Skipped).To(BeEmpty())
		}
		change(ctx, webhooks[1], `{"spec":{"events":["*"]}}`)
		full := []rest.SkippedWebhook{{WebhookID: identity.WebhookID(namespace, webhooks[0].Name), Reason: rest.SkippedBacklogFull}}
		Eventually(ctx, func(g Gomega) {
			got := publishEvent(ctx, api, eventBody(""))
			g.Expect(got.Skipped).To(Equal(full))
			g.Expect(got.Deliveries).To(HaveLen(1), "the other goes on")
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Succeed())
		again := publishEvent(ctx, api, eventBody(`,"id":"e0"`))
		Expect(again.Deliveries).To(ContainElement(first.Deliveries[0]), "what exists is not skipped")
		Expect(again.Skipped).To(BeEmpty())

		change(ctx, webhooks[0], `{"spec":{"overflow":"Refuse"}}`)
		Eventually(ctx, func() int { return api.call(ctx, http.MethodPost, "/v1/events", eventBody("")).status }).
			WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(http.StatusTooManyRequests))
		before := len(listDeliveries(ctx, namespace))
		got := api.call(ctx, http.MethodPost, "/v1/events", eventBody(""))
		problem := decodeProblem(got, http.StatusTooManyRequests)
		Expect(problem.Reason).To(Equal("BacklogFull"))
		Expect(problem.Detail).To(ContainSubstring(full[0].WebhookID))
		Expect(problem.EventID).To(HavePrefix("evt_"))
		Expect(got.header.Get("Retry-After")).To(Equal("10"))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(before))
	})

	It("counts skipped deliveries in the status of the webhook", func(ctx SpecContext) {
		api := startLimitedGateway(ctx, token, tightQuotaFlags()...)
		createSuspendedWebhooks(ctx, api, namespace, "one")
		for range 7 { // four fit
			publishEvent(ctx, api, eventBody(""))
		}
		var webhook v1alpha1.Webhook
		Eventually(ctx, func() (int64, error) {
			err := cluster.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "one"}, &webhook)
			return webhook.Status.DeliveriesSkipped, err
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(int64(3)))
		Expect(webhook.Status.LastSkippedTime.Time).To(BeTemporally("~", time.Now(), eventualTimeout))
		Expect(webhook.Status.Conditions).To(ContainElement(And(
			HaveField("Type", v1alpha1.ConditionBacklogFull), HaveField("Status", metav1.ConditionTrue), HaveField("Reason", v1alpha1.ReasonDeliveriesSkipped))))
		Eventually(ctx, func() []string { return eventReasons(ctx, namespace) }).WithTimeout(eventualTimeout).WithPolling(pollEvery).
			Should(ContainElement(v1alpha1.ReasonDeliveriesSkipped))
		shown := decode[rest.Webhook](api.call(ctx, http.MethodGet, "/v1/webhooks/"+webhook.Status.WebhookID, nil), http.StatusOK)
		Expect(shown.DeliveriesSkipped).To(Equal(int64(3)))
		Expect(shown.LastSkippedAt).NotTo(BeNil())
		publishEvent(ctx, api, eventBody(""))
		var reports corev1.ConfigMap
		Eventually(ctx, func() (map[string]string, error) { // reported, taken, and emptied
			err := cluster.Client.Get(ctx, client.ObjectKey{Namespace: stack.SystemNamespace, Name: "bbmcp-skipped"}, &reports)
			return reports.Data, err
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveEach(ContainSubstring("taken")))
	})

	It("answers 429 when the namespace has used its quota, and other namespaces publish on", func(ctx SpecContext) {
		api := startLimitedGateway(ctx, token, tightQuotaFlags("--backlog-per-webhook=1000")...)
		var names []string
		for i := range 7 {
			names = append(names, fmt.Sprintf("hook-%d", i))
		}
		createSuspendedWebhooks(ctx, api, namespace, names...)
		for range 2 {
			Expect(publishEvent(ctx, api, eventBody("")).Deliveries).To(HaveLen(7))
		}
		got := api.call(ctx, http.MethodPost, "/v1/events", eventBody(`,"id":"e3"`))
		problem := decodeProblem(got, http.StatusTooManyRequests)
		Expect(problem.Reason).To(Equal("NamespaceBacklogFull"))
		Expect(problem.EventID).To(Equal("e3"))
		Expect(got.header.Get("Retry-After")).NotTo(BeEmpty())
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(14), "nothing of it")

		other := newNamespace(ctx)
		there := api
		there.token = newAccount(ctx, other, "publisher", publisher, viewer)
		createSuspendedWebhooks(ctx, there, other, names...)
		Expect(publishEvent(ctx, there, eventBody("")).Deliveries).To(HaveLen(7), "another namespace has room")
	})

	It("counts the bytes of payloads against the quota", func(ctx SpecContext) {
		api := startLimitedGateway(ctx, token, "--backlog-bytes-per-namespace=50000") // 10,000 for a webhook
		createSuspendedWebhooks(ctx, api, namespace, "one")
		big := `{"event":"context.created","data":` + eventData(`,"s":"`+strings.Repeat("x", 4000)+`"`) + `}`
		for range 2 {
			Expect(publishEvent(ctx, api, big).Deliveries).To(HaveLen(1))
		}
		Expect(publishEvent(ctx, api, big).Skipped).To(HaveLen(1))
		Expect(publishEvent(ctx, api, eventBody("")).Deliveries).To(HaveLen(1), "a small one fits")
	})

	It("leaves a namespace that is new its share of the cluster's quota", func(ctx SpecContext) {
		// The backlogs of other namespaces count too, in full only while none of them has more than half of the quota:
		// so twice their sum is taken off.
		others := countUnfinished(ctx)
		limit := 2*others + 40
		api := startLimitedGateway(ctx, token, fmt.Sprintf("--backlog=%d", limit), "--backlog-per-webhook=10000", "--backlog-per-namespace=50000") // a webhook has a fifth of its namespace's
		createSuspendedWebhooks(ctx, api, namespace, "one")
		n := 0
		for ; n < others+40; n++ {
			got := api.call(ctx, http.MethodPost, "/v1/events", eventBody(""))
			if got.status == http.StatusTooManyRequests {
				Expect(decodeProblem(got, http.StatusTooManyRequests).Reason).To(Equal("ClusterBacklogFull"))
				break
			}
		}
		// Other namespaces finish some deliveries meanwhile.
		Expect(n).To(And(BeNumerically(">=", (limit-others)/2-2), BeNumerically("<=", (limit-(countUnfinished(ctx)-n))/2+2)),
			"half of what is free goes to the only one")
		other := newNamespace(ctx)
		there := api
		there.token = newAccount(ctx, other, "publisher", publisher, viewer)
		createSuspendedWebhooks(ctx, there, other, "one")
		Expect(publishEvent(ctx, there, eventBody("")).Deliveries).To(HaveLen(1))
	})

	It("counts deliveries made by hand only against the quota of their namespace", func(ctx SpecContext) {
		greedy := newNamespace(ctx)
		others := countUnfinished(ctx)
		limit, byHand := 2*others+40, others+60 // all deliveries together exceed the quota
		for i := range byHand {
			Expect(cluster.Client.Create(ctx, &v1alpha1.WebhookDelivery{
				ObjectMeta: metav1.ObjectMeta{Namespace: greedy, Name: fmt.Sprintf("by-hand-%d", i)},
				Spec: v1alpha1.WebhookDeliverySpec{
					WebhookRef: v1alpha1.WebhookReference{Name: "none"}, EventID: fmt.Sprintf("e%d", i), EventType: "context.created",
					Payload: `{"event":"context.created","timestamp":"2026-03-01T12:00:00Z","data":{}}`,
				},
			})).To(Succeed())
		}
		api := startLimitedGateway(ctx, token, fmt.Sprintf("--backlog=%d", limit), "--backlog-per-webhook=1000", "--backlog-per-namespace=1000")
		createSuspendedWebhooks(ctx, api, namespace, "one")
		Expect(publishEvent(ctx, api, eventBody("")).Deliveries).To(HaveLen(1), "at most %d may be, and a neighbour has made %d by hand", limit, byHand)
	})

	It("answers 429 when a ResourceQuota of the namespace is used up", func(ctx SpecContext) {
		api := clientFor(token)
		createSuspendedWebhooks(ctx, api, namespace, "one")
		quota := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "few"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/webhookdeliveries.bbmcp.quietstack.com": resource.MustParse("1")}},
		}
		Expect(cluster.Client.Create(ctx, quota)).To(Succeed())
		var got answer
		Eventually(ctx, func() int {
			got = api.call(ctx, http.MethodPost, "/v1/events", eventBody(""))
			return got.status
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(http.StatusTooManyRequests))
		problem := decodeProblem(got, http.StatusTooManyRequests)
		Expect(problem.Reason).To(Equal("QuotaExceeded"))
		Expect(problem.Detail).To(ContainSubstring("few"), "which quota")
		Expect(got.header.Get("Retry-After")).NotTo(BeEmpty())
	})

	It("stays within the quota in a burst of events", func(ctx SpecContext) {
		api := startLimitedGateway(ctx, token, tightQuotaFlags()...)
		createSuspendedWebhooks(ctx, api, namespace, "one")
		var made, left atomic.Int64
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				defer GinkgoRecover()
				deliveries, skipped := publishAndCount(ctx, api)
				made.Add(int64(deliveries))
				left.Add(int64(skipped))
			})
		}
		wg.Wait()
		Expect([]int64{made.Load(), left.Load()}).To(Equal([]int64{4, 36}))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(4))
	})
})
