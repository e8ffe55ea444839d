// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/test/admission"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var _ = Describe("a namespace that has used its write budget", func() {
	It("gets 429 before any attempt, while other namespaces publish", func(ctx SpecContext) {
		front, err := cluster.StartGateway(ctx, gatewayOptions("--writes-per-namespace=1"))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(front.Kill)
		loud, quiet := newNamespace(ctx), newNamespace(ctx)
		publisherIn := func(namespace string) apiClient {
			createWebhook(ctx, newAccount(ctx, namespace, "owner", editor), webhookBody(namespace))
			return apiClient{base: front.URL, token: newAccount(ctx, namespace, "publisher", publisher)}
		}
		ours, theirs := publisherIn(loud), publisherIn(quiet)
		store := func(a apiClient) answer {
			return a.withHeader("Prefer", "respond-async").call(ctx, http.MethodPost, "/v1/events", eventBody(""))
		}
		Eventually(func() []rest.PublishedDelivery { // until the gateway knows the webhook
			return decode[rest.Published](store(ours), http.StatusAccepted).Deliveries
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveLen(1))
		var refused answer
		for range 20 {
			if got := store(ours); got.status != http.StatusAccepted {
				refused = got
				break
			}
		}
		problem := decodeProblem(refused, http.StatusTooManyRequests)
		Expect(problem.Reason).To(Equal("TooManyRequests"))
		Expect(problem.EventID).NotTo(BeEmpty(), "it can be repeated under the same id")
		Expect(problem.Deliveries).To(BeEmpty())
		Expect(refused.header.Get("Retry-After")).To(Equal("1"))
		Eventually(func() []rest.PublishedDelivery {
			return decode[rest.Published](store(theirs), http.StatusAccepted).Deliveries
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveLen(1))
		Eventually(func() int { return store(ours).status }).WithTimeout(eventualTimeout).WithPolling(10 * pollEvery).Should(Equal(http.StatusAccepted))
	}, SpecTimeout(time.Minute))

	It("gets 429 after fewer deliveries if they are large", func(ctx SpecContext) {
		front, err := cluster.StartGateway(ctx, gatewayOptions("--writes-per-namespace=4")) // 40 at once
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(front.Kill)
		namespace := newNamespace(ctx)
		createWebhook(ctx, newAccount(ctx, namespace, "owner", editor), webhookBody(namespace))
		api := apiClient{base: front.URL, token: newAccount(ctx, namespace, "publisher", publisher)}.withHeader("Prefer", "respond-async")
		large := `{"event":"context.created","data":` + eventData(`,"s":"`+strings.Repeat("x", 240<<10)+`"`) + `}`
		Eventually(func() []rest.PublishedDelivery { // until the gateway knows the webhook
			return decode[rest.Published](api.call(ctx, http.MethodPost, "/v1/events", eventBody("")), http.StatusAccepted).Deliveries
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveLen(1))
		stored := 0
		for api.call(ctx, http.MethodPost, "/v1/events", large).status == http.StatusAccepted {
			stored++
			Expect(stored).To(BeNumerically("<=", 5), "each is worth sixteen small ones")
		}
		Expect(stored).To(BeNumerically(">=", 1))
	}, SpecTimeout(time.Minute))
})

var _ = Describe("a namespace with large payloads", func() {
	// Payloads have 200 KiB; the budget holds four seconds of 256 KiB: five of them.
	const bytesPerSecond = 256 << 10
	large := `{"event":"context.created","data":` + eventData(`,"s":"`+strings.Repeat("x", 200<<10)+`"`) + `}`
	start := func(ctx SpecContext, scripted ...receiver.Step) (api apiClient, namespace string) {
		GinkgoHelper()
		own := startGateway(ctx, gatewayOptions(append(noRecordFlags(), fmt.Sprint("--write-bytes-per-namespace=", bytesPerSecond))...))
		namespace = newNamespace(ctx)
		createActiveWebhook(ctx, namespace, "one")
		api = apiClient{base: own.URL, token: newAccount(ctx, namespace, "publisher", publisher, viewer)}
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		endpoint.Script(specPath(namespace, "one"), scripted...)
		return api, namespace
	}

	It("gets 429 before deliveries whose attempts hang are stored, for small events too", func(ctx SpecContext) {
		api, _ := start(ctx, receiver.Step{Fault: receiver.Hang})
		answers := make(chan answer)
		const many = 12
		for range many {
			go func() {
				defer GinkgoRecover()
				answers <- api.withHeader("Prefer", "wait=2").call(ctx, http.MethodPost, "/v1/events", large)
			}()
		}
		var refused []answer
		accepted := 0
		for range many {
			if got := <-answers; got.status == http.StatusAccepted {
				accepted++
			} else {
				refused = append(refused, got)
			}
		}
		Expect(accepted).To(BeNumerically(">=", 5))
		Expect(accepted).To(BeNumerically("<=", 9), "those that hang are counted before they are stored")
		problem := decodeProblem(refused[0], http.StatusTooManyRequests)
		Expect(problem.Reason).To(Equal("TooManyRequests"))
		Expect(problem.Detail).To(ContainSubstring("--write-bytes-per-namespace"))
		Expect(refused[0].header.Get("Retry-After")).NotTo(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("is not limited in deliveries that succeed at once", func(ctx SpecContext) {
		api, namespace := start(ctx)
		before := len(listDeliveries(ctx, namespace))
		for range 30 { // six times what may be stored at once
			got := decode[rest.Published](api.withHeader("Prefer", "wait=10").call(ctx, http.MethodPost, "/v1/events", large), http.StatusAccepted)
			Expect(deliveryStates(got)).To(Equal([]string{rest.DeliverySucceeded}))
		}
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(before))
	}, SpecTimeout(time.Minute))

	It("does not spend bytes on refused deliveries", func(ctx SpecContext) {
		api, namespace := start(ctx)
		hooks := decode[rest.WebhookList](api.call(ctx, http.MethodGet, "/v1/webhooks", nil), http.StatusOK)
		installPolicy(ctx, namespace, "webhookdeliveries").Answer(admission.Deny(http.StatusForbidden, "not here"))
		for range 12 { // more than twice what may be stored at once
			for path, method := range map[string]apiClient{"/v1/events": api.withHeader("Prefer", "respond-async"), "/v1/webhooks/" + hooks.Data[0].WebhookID + "/test": api} {
				Expect(decodeProblem(method.call(ctx, http.MethodPost, path, large), http.StatusForbidden).Reason).To(Equal("PolicyDenied"), path)
			}
		}
	}, SpecTimeout(time.Minute))

	It("spends bytes on a delivery that is stored when its event is published again", func(ctx SpecContext) {
		api, namespace := start(ctx, receiver.Step{Fault: receiver.Hang})
		policy := installPolicy(ctx, namespace, "webhookdeliveries")
		policy.Answer(admission.Deny(http.StatusForbidden, "not here"))
		publishAll := func(status int) {
			inParallel(ctx, 5, func(i int) {
				defer GinkgoRecover()
				withID := strings.Replace(large, "{", fmt.Sprintf(`{"id":"large-%d",`, i), 1)
				Expect(api.withHeader("Prefer", "wait=1").call(ctx, http.MethodPost, "/v1/events", withID).status).To(Equal(status))
			})
		}
		publishAll(http.StatusForbidden)
		policy.Allow()
		publishAll(http.StatusAccepted)
		left := 0
		for api.withHeader("Prefer", "respond-async").call(ctx, http.MethodPost, "/v1/events", large).status == http.StatusAccepted {
			left++
			Expect(left).To(BeNumerically("<=", 4), "what came in the meantime, not the six of a full bucket")
		}
	}, SpecTimeout(time.Minute))

	It("spends writes on test events", func(ctx SpecContext) {
		api, _ := start(ctx)
		hooks := decode[rest.WebhookList](api.call(ctx, http.MethodGet, "/v1/webhooks", nil), http.StatusOK)
		var got answer
		for range 12 {
			if got = api.call(ctx, http.MethodPost, "/v1/webhooks/"+hooks.Data[0].WebhookID+"/test", large); got.status != http.StatusAccepted {
				break
			}
		}
		Expect(decodeProblem(got, http.StatusTooManyRequests).Reason).To(Equal("TooManyRequests"))
	}, SpecTimeout(time.Minute))
})
