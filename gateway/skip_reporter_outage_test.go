// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"net/http"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// eventReasons are the reasons of the Events in a namespace.
func eventReasons(ctx context.Context, namespace string) (reasons []string) {
	GinkgoHelper()
	var events eventsv1.EventList
	Expect(cluster.Client.List(ctx, &events, client.InNamespace(namespace))).To(Succeed())
	for _, each := range events.Items {
		reasons = append(reasons, each.Reason)
	}
	return reasons
}

var _ = Describe("an endpoint that answers 500 to 2,000 events", func() {
	It("has the skipped deliveries counted in its webhook's status, until the outage is over", func(ctx SpecContext) {
		const events = 2000
		namespace := newNamespace(ctx)
		api := startLimitedGateway(ctx, newAccount(ctx, namespace, "publisher", publisher, viewer), "--backlog-per-webhook=200")
		webhook := createActiveWebhook(ctx, namespace, "down")
		awaitWebhooks(ctx, api, 1)
		endpoint.Script(specPath(namespace, "down"), receiver.Step{Status: http.StatusInternalServerError})

		var told atomic.Int64
		inParallel(ctx, events, func(int) {
			got := publishEvent(ctx, api, eventBody(""))
			Expect(len(got.Deliveries) + len(got.Skipped)).To(Equal(1))
			for _, each := range got.Skipped {
				Expect(each.Reason).To(Equal(rest.SkippedBacklogFull))
				told.Add(1)
			}
		})
		Expect(told.Load()).To(BeNumerically(">", events/2))

		status := func() v1alpha1.WebhookStatus { return readObject(ctx, webhook).Status }
		full := func() bool { return meta.IsStatusConditionTrue(status().Conditions, v1alpha1.ConditionBacklogFull) }
		Eventually(ctx, full).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(BeTrue())
		Eventually(ctx, func() []string { return eventReasons(ctx, namespace) }).WithTimeout(eventualTimeout).WithPolling(pollEvery).
			Should(ContainElement(v1alpha1.ReasonDeliveriesSkipped))
		Eventually(ctx, full).WithTimeout(backlogFullFor+eventualTimeout).WithPolling(pollEvery).Should(BeFalse(), "nothing was skipped since")
		Expect(status().DeliveriesSkipped).To(Equal(told.Load()), "what publishers were told")
		shown := decode[rest.Webhook](api.call(ctx, http.MethodGet, "/v1/webhooks/"+status().WebhookID, nil), http.StatusOK)
		Expect(shown.LastSkippedAt).NotTo(BeNil())
		Expect(shown.DeliveriesSkipped).To(Equal(told.Load()))
	})
})
