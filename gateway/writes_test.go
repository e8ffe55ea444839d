// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

var _ = Describe("a namespace that has many deliveries stored", func() {
	It("is told to wait before anything of an event is sent, and others are not", func(ctx SpecContext) {
		front, err := cluster.StartGateway(ctx, gatewayOptions("--writes-per-namespace=1"))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(front.Kill)
		loud, quiet := newNamespace(ctx), newNamespace(ctx)
		publisherIn := func(namespace string) api {
			created(ctx, account(ctx, namespace, "owner", editor), hookFor(namespace))
			return api{base: front.URL, token: account(ctx, namespace, "publisher", publisher)}
		}
		ours, theirs := publisherIn(loud), publisherIn(quiet)
		store := func(a api) answer {
			return a.with("Prefer", "respond-async").call(ctx, http.MethodPost, "/v1/events", event(""))
		}
		Eventually(func() []rest.PublishedDelivery { // until the gateway knows the webhook
			return decode[rest.Published](store(ours), http.StatusAccepted).Deliveries
		}).WithTimeout(soon).WithPolling(pollEvery).Should(HaveLen(1))
		var refused answer
		for range 20 {
			if got := store(ours); got.status != http.StatusAccepted {
				refused = got
				break
			}
		}
		said := refusal(refused, http.StatusTooManyRequests)
		Expect(said.Reason).To(Equal("TooManyRequests"))
		Expect(said.EventID).NotTo(BeEmpty(), "it can be repeated under the same id")
		Expect(said.Deliveries).To(BeEmpty())
		Expect(refused.header.Get("Retry-After")).To(Equal("1"))
		Eventually(func() []rest.PublishedDelivery {
			return decode[rest.Published](store(theirs), http.StatusAccepted).Deliveries
		}).WithTimeout(soon).WithPolling(pollEvery).Should(HaveLen(1))
		Eventually(func() int { return store(ours).status }).WithTimeout(soon).WithPolling(10 * pollEvery).Should(Equal(http.StatusAccepted))
	}, SpecTimeout(time.Minute))

	It("is told so sooner if they are large", func(ctx SpecContext) {
		front, err := cluster.StartGateway(ctx, gatewayOptions("--writes-per-namespace=4")) // 40 at once
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(front.Kill)
		namespace := newNamespace(ctx)
		created(ctx, account(ctx, namespace, "owner", editor), hookFor(namespace))
		on := api{base: front.URL, token: account(ctx, namespace, "publisher", publisher)}.with("Prefer", "respond-async")
		large := `{"event":"context.created","data":` + dataWith(`,"s":"`+strings.Repeat("x", 240<<10)+`"`) + `}`
		Eventually(func() []rest.PublishedDelivery { // until the gateway knows the webhook
			return decode[rest.Published](on.call(ctx, http.MethodPost, "/v1/events", event("")), http.StatusAccepted).Deliveries
		}).WithTimeout(soon).WithPolling(pollEvery).Should(HaveLen(1))
		stored := 0
		for on.call(ctx, http.MethodPost, "/v1/events", large).status == http.StatusAccepted {
			stored++
			Expect(stored).To(BeNumerically("<=", 5), "each is worth sixteen small ones")
		}
		Expect(stored).To(BeNumerically(">=", 1))
	}, SpecTimeout(time.Minute))
})
