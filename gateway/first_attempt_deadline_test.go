// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

var _ = Describe("first attempts of many events", func() {
	var (
		namespace string
		own       *stack.Gateway
		api       apiClient
	)
	start := func(ctx SpecContext, args ...string) {
		GinkgoHelper()
		namespace = newNamespace(ctx)
		token := newAccount(ctx, namespace, "publisher", publisher, viewer, deliveryViewer)
		own = startGateway(ctx, gatewayOptions(args...))
		api = apiClient{base: own.URL, token: token}
	}

	It("in a batch are made within the time of their request", func(ctx SpecContext) {
		start(ctx, "--allow-unregistered-event-types")
		const events = 16 // four at a time, each for another webhook that hangs
		var items []string
		for i := range events {
			name := fmt.Sprintf("hangs-%d", i)
			endpoint.Script(specPath(namespace, name), receiver.Step{Fault: receiver.Hang})
			createActiveWebhook(ctx, namespace, name, withRetries(30*time.Second), func(spec *v1alpha1.WebhookSpec) { spec.Events = []string{"late." + name} })
			items = append(items, fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/late","type":"late.%s","datacontenttype":"application/json","data":{}}`, i, name))
		}
		began := time.Now()
		got := api.withHeader("Content-Type", mediaBatch).withHeader("Prefer", "wait=10").call(ctx, http.MethodPost, "/v1/events", "["+strings.Join(items, ",")+"]")
		took := time.Since(began)
		answer := decode[rest.BatchPublished](got, http.StatusAccepted)
		Expect(answer.Results).To(HaveLen(events))
		Expect(took).To(BeNumerically("<", 20*time.Second), "ten seconds and five, and not ten for each four")
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(events))
	})

	It("go on for an endpoint that refuses one event among many", func(ctx SpecContext) {
		start(ctx, noRecordFlags()...)
		webhook := createActiveWebhook(ctx, namespace, "well", withRetries(time.Second))
		warmUp(ctx, api)
		endpoint.Script(specPath(namespace, "well"), receiver.Step{Status: http.StatusUnprocessableEntity})
		refused := publishEvent(ctx, api, eventBody(`,"id":"refused"`))
		Expect(deliveryStates(refused)).To(Equal([]string{rest.DeliveryRetrying}))
		endpoint.Script(specPath(namespace, "well"))
		awaitDelivery(ctx, namespace, "refused", v1alpha1.DeliveryFailed)
		Eventually(ctx, func() v1alpha1.WebhookState {
			Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(Succeed())
			return webhook.Status.State
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(v1alpha1.WebhookFailing))
		Eventually(ctx, func() int { // the first attempt has succeeded here
			return int(decode[rest.Webhook](api.call(ctx, http.MethodGet, "/v1/webhooks/"+webhook.Status.WebhookID, nil), http.StatusOK).Status[0])
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(int('f')))
		for range 20 {
			got := publishEvent(ctx, api, eventBody(""))
			Expect(got.Skipped).To(BeEmpty())
			Expect(deliveryStates(got)).To(Equal([]string{rest.DeliverySucceeded}), "no object, no wait")
		}
	})
})
