// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

var _ = Describe("a first attempt of a gateway that breaks", func() {
	var namespace, token string
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		token = newAccount(ctx, namespace, "publisher", publisher, viewer, deliveryViewer)
	})
	// begunThrough starts a gateway, publishes an event whose first attempt hangs, and returns once that is under way.
	begunThrough := func(ctx context.Context, proxy *stack.APIProxy, first receiver.Step, wait string) (*stack.Gateway, apiClient, chan error) {
		GinkgoHelper()
		options := gatewayOptions(append(noRecordFlags(), "--first-attempt-wait="+wait)...)
		options.Proxy = proxy
		own := startGateway(ctx, options)
		api := apiClient{base: own.URL, token: token}
		createActiveWebhook(ctx, namespace, "one", withRetries(time.Second, time.Second))
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		path := specPath(namespace, "one")
		endpoint.Script(path, first, receiver.Step{})
		answered := make(chan error, 1)
		go func() {
			defer GinkgoRecover()
			_, err := api.try(ctx, http.MethodPost, "/v1/events", eventBody(`,"id":"x"`))
			answered <- err
		}()
		Eventually(ctx, func() []string { return attemptNumbers(path, "x") }).WithTimeout(eventualTimeout).WithPolling(time.Millisecond).Should(HaveLen(1))
		return own, api, answered
	}
	begun := func(ctx context.Context, first receiver.Step, wait string) (*stack.Gateway, apiClient, chan error) {
		GinkgoHelper()
		return begunThrough(ctx, nil, first, wait)
	}

	It("is made again when the gateway is killed before a failed attempt is stored", func(ctx SpecContext) {
		proxy, err := cluster.StartAPIProxy()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(proxy.Close)
		own, api, answered := begunThrough(ctx, proxy, receiver.Step{Delay: 700 * time.Millisecond, Status: 500}, "5s")
		release := proxy.Hold()
		defer release()
		Consistently(answered).WithTimeout(1500*time.Millisecond).ShouldNot(Receive(), "the create does not come through")
		own.Process.Stop(0)
		Expect(<-answered).To(HaveOccurred(), "so the publisher repeats")
		Expect(findDelivery(ctx, namespace, "x")).To(BeNil())
		release()
		Expect(own.Restart(ctx)).To(Succeed())
		publishUntilAccepted(ctx, api, eventBody(`,"id":"x"`))
		Eventually(ctx, func() int { return len(attemptNumbers(specPath(namespace, "one"), "x")) }).
			WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(2), "the one that failed, and its repetition")
	})

	It("is made again when the gateway is killed before anything is stored", func(ctx SpecContext) {
		own, api, answered := begun(ctx, receiver.Step{Delay: 900 * time.Millisecond}, "5s")
		own.Process.Stop(0)
		Expect(<-answered).To(HaveOccurred(), "so the publisher repeats")
		Expect(findDelivery(ctx, namespace, "x")).To(BeNil())
		Expect(own.Restart(ctx)).To(Succeed())
		publishUntilAccepted(ctx, api, eventBody(`,"id":"x"`))
		Eventually(ctx, func() int { return len(attemptNumbers(specPath(namespace, "one"), "x")) }).
			WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(2), "the attempt that nobody knows of, and its repetition")
	})

	It("is repeated by the controller when the gateway is killed after the hand-over", func(ctx SpecContext) {
		own, _, answered := begun(ctx, receiver.Step{Fault: receiver.Hang}, "300ms")
		Expect(<-answered).NotTo(HaveOccurred())
		own.Kill()
		object := awaitDelivery(ctx, namespace, "x", v1alpha1.DeliverySucceeded)
		Expect(object.Status.AttemptLog).To(HaveLen(1))
		Expect(object.Status.AttemptLog[0].StartTime.Time).To(BeTemporally(">=", object.Spec.NotBefore.Time), "the controller waited")
		Expect(attemptNumbers(specPath(namespace, "one"), "x")).To(Equal([]string{"1", "1"}))
	})

	It("counts when the gateway is killed after its outcome was written", func(ctx SpecContext) {
		own, _, answered := begun(ctx, receiver.Step{Delay: 700 * time.Millisecond}, "300ms")
		Expect(<-answered).NotTo(HaveOccurred())
		awaitDelivery(ctx, namespace, "x", v1alpha1.DeliverySucceeded)
		own.Kill()
		Expect(attemptNumbers(specPath(namespace, "one"), "x")).To(Equal([]string{"1"}))
	})

	It("does not count when the gateway is frozen until the controller has taken over", func(ctx SpecContext) {
		own, _, answered := begun(ctx, receiver.Step{Delay: 900 * time.Millisecond, Status: 500}, "300ms")
		Expect(<-answered).NotTo(HaveOccurred())
		Expect(own.Pause()).To(Succeed())
		object := awaitDelivery(ctx, namespace, "x", v1alpha1.DeliverySucceeded)
		Expect(own.Resume()).To(Succeed())
		Eventually(ctx, func() float64 {
			samples, err := stack.Scrape(ctx, own.MetricsURL)
			Expect(err).NotTo(HaveOccurred())
			return samples.Sum("bbmcp_gateway_hand_overs_total", "outcome", "taken") + samples.Sum("bbmcp_gateway_hand_overs_total", "outcome", "settled")
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(1.0))
		Expect(findDelivery(ctx, namespace, "x").Status).To(Equal(object.Status))
		Expect(attemptNumbers(specPath(namespace, "one"), "x")).To(Equal([]string{"1", "1"}))
	})

	It("counts when the gateway is frozen for a shorter while", func(ctx SpecContext) {
		own, _, answered := begun(ctx, receiver.Step{Delay: 700 * time.Millisecond}, "300ms")
		Expect(<-answered).NotTo(HaveOccurred())
		Expect(own.Pause()).To(Succeed())
		Consistently(ctx, func() v1alpha1.DeliveryState { return findDelivery(ctx, namespace, "x").Status.State }).
			WithTimeout(time.Second).WithPolling(10 * pollEvery).Should(BeEmpty())
		Expect(own.Resume()).To(Succeed())
		object := awaitDelivery(ctx, namespace, "x", v1alpha1.DeliverySucceeded)
		Expect(object.Status.CompletionTime.Time).To(BeTemporally("<", object.Spec.NotBefore.Time))
		Expect(attemptNumbers(specPath(namespace, "one"), "x")).To(Equal([]string{"1"}))
	})

	It("is settled before the gateway ends when asked to", func(ctx SpecContext) {
		own, _, answered := begun(ctx, receiver.Step{Delay: 900 * time.Millisecond}, "300ms")
		Expect(<-answered).NotTo(HaveOccurred())
		own.Stop()
		object := awaitDelivery(ctx, namespace, "x", v1alpha1.DeliverySucceeded)
		Expect(object.Status.AttemptLog).To(HaveLen(1))
		Expect(attemptNumbers(specPath(namespace, "one"), "x")).To(Equal([]string{"1"}))
	})

	It("is left to the controller when the dispatcher ends during it", func(ctx SpecContext) {
		own, _, answered := begun(ctx, receiver.Step{Fault: receiver.Hang}, "5s")
		own.Dispatcher().Stop(0)
		Expect(<-answered).NotTo(HaveOccurred())
		awaitDelivery(ctx, namespace, "x", v1alpha1.DeliverySucceeded)
		Expect(attemptNumbers(specPath(namespace, "one"), "x")).To(Equal([]string{"1", "1"}))
	})

	It("delivers to endpoints that answer while the API server is away", func(ctx SpecContext) {
		proxy, err := cluster.StartAPIProxy()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(proxy.Close)
		options := gatewayOptions(noRecordFlags()...)
		options.Proxy = proxy
		api := apiClient{base: startGateway(ctx, options).URL, token: token}
		createActiveWebhook(ctx, namespace, "one")
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		release := proxy.Hold()
		defer release()
		for i := range 20 {
			Expect(deliveryStates(publishEvent(ctx, api, numberedEvent(i)))).To(Equal([]string{rest.DeliverySucceeded}))
		}
		problem := api.withHeader("Prefer", "respond-async").call(ctx, http.MethodPost, "/v1/events", eventBody(`,"id":"stored"`))
		Expect(problem.status).To(Equal(http.StatusServiceUnavailable), "what needs an object")
		Expect(problem.header.Get("Retry-After")).NotTo(BeEmpty())
		endpoint.Script(specPath(namespace, "one"), receiver.Step{Status: 500}, receiver.Step{})
		decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", eventBody(`,"id":"failed"`)), http.StatusServiceUnavailable)
		release()
		publishUntilAccepted(ctx, api, eventBody(`,"id":"failed"`))
		publishUntilAccepted(ctx, api, eventBody(`,"id":"stored"`))
		Eventually(ctx, func() int {
			return len(attemptNumbers(specPath(namespace, "one"), "failed")) + len(attemptNumbers(specPath(namespace, "one"), "stored"))
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(3), "one of them twice")
	})
})
