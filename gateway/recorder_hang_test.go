// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/test/admission"
)

var _ = Describe("records in a namespace whose admission webhook hangs", func() {
	It("do not delay the records of other namespaces", func(ctx SpecContext) {
		const events = 10
		hangs, other := newNamespace(ctx), newNamespace(ctx)
		own := startGateway(ctx, gatewayOptions())
		onHanging := apiClient{base: own.URL, token: newAccount(ctx, hangs, "publisher", publisher, viewer)}
		api := apiClient{base: own.URL, token: newAccount(ctx, other, "publisher", publisher, viewer)}
		createActiveWebhook(ctx, hangs, "one")
		createActiveWebhook(ctx, other, "one")
		awaitWebhooks(ctx, onHanging, 1)
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, onHanging)
		before := warmUp(ctx, api)

		server := admission.Start()
		DeferCleanup(server.Close)
		server.Answer(admission.Verdict{After: time.Minute})
		remove, err := server.Install(ctx, cluster.Client, admission.Rule{
			Namespace: hangs, Resources: []string{"webhookdeliveries"}, Seconds: 30,
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(remove)
		for i := range events {
			Expect(deliveryStates(publishEvent(ctx, onHanging, numberedEvent(i)))).To(Equal([]string{rest.DeliverySucceeded}))
		}
		Eventually(ctx, func() int { return server.Count("webhookdeliveries", "CREATE") }).WithTimeout(eventualTimeout).WithPolling(pollEvery).
			Should(BeNumerically(">=", 2), "as many as one namespace may have at once")
		for i := range events {
			Expect(deliveryStates(publishEvent(ctx, api, numberedEvent(i)))).To(Equal([]string{rest.DeliverySucceeded}))
		}
		Eventually(ctx, func() int { return len(listDeliveries(ctx, other)) }).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(before + events))
	})
})
