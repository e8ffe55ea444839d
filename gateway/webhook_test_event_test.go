// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

var _ = Describe("testing a webhook", func() {
	It("sends the type's example, signed and marked, whatever events the webhook selects", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "both", editor, publisher)
		webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"secret": validSecret, "events": []string{"other.type"}}))
		decode[rest.Webhook](postAction(ctx, clientFor(token), "/v1/webhooks/"+webhook.WebhookID+"/suspend"), http.StatusOK)
		Expect(endpoint.Secrets("/"+namespace, validSecret)).To(Succeed())
		got := clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks/"+webhook.WebhookID+"/test", object{"event": "context.created"})
		delivery := decode[rest.Delivery](got, http.StatusAccepted)
		Expect(delivery.EventID).To(MatchRegexp(`^test_[0-9A-Z]{26}$`))
		Expect(endpoint.Wait(ctx, "/"+namespace, func(c receiver.Counts) bool { return c.Verified == 1 })).To(Succeed())
		arrived := endpoint.Received("/" + namespace)[0]
		Expect(arrived.Header.Get("X-BBMCP-Test")).To(Equal("true"))
		Expect([]string{arrived.Event, arrived.EventID, arrived.Delivery}).To(Equal([]string{"context.created", delivery.EventID, delivery.DeliveryID}))
		detail := decode[rest.DeliveryDetail](clientFor(token).call(ctx, http.MethodGet, "/v1/deliveries/"+delivery.DeliveryID, nil), http.StatusOK)
		Expect(arrived.Body).To(Equal(detail.Payload))
		Expect(detail.Payload).To(ContainSubstring(`"context_id"`))
		awaitDeliveryState(ctx, token, webhook.WebhookID, rest.DeliverySucceeded)
		Expect(readWebhook(ctx, namespace, webhook).Status.LastSuccessTime).To(BeNil(), "not counted in its health")
	}, SpecTimeout(time.Minute))

	It("sends the given data, also to a disabled webhook", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "both", editor, publisher)
		endpoint.Script("/"+namespace, receiver.Step{Status: http.StatusGone}, receiver.Step{})
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		createDeliveries(ctx, readWebhook(ctx, namespace, webhook), 0, 1)
		Eventually(func() string {
			return decode[rest.Webhook](clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhook.WebhookID, nil), http.StatusOK).Status
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(rest.WebhookDisabled))
		freely := &v1alpha1.EventType{ObjectMeta: metav1.ObjectMeta{Name: namespace + ".free"}, Spec: v1alpha1.EventTypeSpec{Description: "takes any object"}}
		Expect(cluster.Client.Create(ctx, freely)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(cluster.Client.Delete(ctx, freely)).To(Succeed()) })
		path := "/v1/webhooks/" + webhook.WebhookID + "/test"
		var delivery rest.Delivery
		Eventually(func() int {
			got := clientFor(token).call(ctx, http.MethodPost, path, `{"event":"`+freely.Name+`","data":{"z":1.0,"a":"<ü>","2":null,"1":1e2}}`)
			if got.status == http.StatusAccepted {
				delivery = decode[rest.Delivery](got, http.StatusAccepted)
			}
			return got.status
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(http.StatusAccepted))
		Expect(endpoint.Wait(ctx, "/"+namespace, func(c receiver.Counts) bool { return c.Posts == 2 })).To(Succeed())
		Expect(endpoint.Received("/" + namespace)[1].Body).To(HaveSuffix(`"data":{"1":100,"2":null,"z":1,"a":"<ü>"}}`))

		// A retry of a test is one, too.
		kept := &v1alpha1.WebhookDelivery{}
		Expect(cluster.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "dlv-" + delivery.DeliveryID[4:]}, kept)).To(Succeed())
		Expect(kept.Spec.Test).To(BeTrue())
		Expect(kept.Spec.PublishedBy).To(Equal("system:serviceaccount:" + namespace + ":both"))
	}, SpecTimeout(time.Minute))

	It("is refused where the backlog is full", func(ctx SpecContext) {
		small, err := cluster.StartGateway(ctx, stack.GatewayOptions{Args: []string{"--backlog-per-webhook=1"}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(small.Stop)
		namespace := newNamespace(ctx)
		caller := clientFor(newAccount(ctx, namespace, "both", editor, publisher))
		caller.base = small.URL
		webhook := createSuspended(ctx, namespace, "full")
		awaitWebhooks(ctx, caller, 1)
		createDeliveries(ctx, webhook, 0, 1)
		webhookID := identity.WebhookID(namespace, "full")
		Eventually(func() int {
			return len(decode[rest.DeliveryList](caller.call(ctx, http.MethodGet, "/v1/webhooks/"+webhookID+"/deliveries", nil), http.StatusOK).Data)
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(1))
		got := caller.call(ctx, http.MethodPost, "/v1/webhooks/"+webhookID+"/test", object{"event": "context.created"})
		Expect(decodeProblem(got, http.StatusTooManyRequests).Reason).To(Equal("BacklogFull"))
		Expect(got.header.Get("Retry-After")).NotTo(BeEmpty())
	})

	DescribeTable("is refused without sending anything, given",
		func(ctx SpecContext, body any, status int, field, detail string) {
			namespace := newNamespace(ctx)
			token := newAccount(ctx, namespace, "both", editor, publisher)
			webhook := createWebhook(ctx, token, webhookBody(namespace))
			got := clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks/"+webhook.WebhookID+"/test", body)
			Expect(decodeProblem(got, status).Errors).To(ContainElement(SatisfyAll(HaveField("Field", field), HaveField("Detail", ContainSubstring(detail)))), got.body)
			var all v1alpha1.WebhookDeliveryList
			Expect(cluster.Client.List(ctx, &all, client.InNamespace(namespace))).To(Succeed())
			Expect(all.Items).To(BeEmpty())
		},
		Entry("no event", object{}, 422, "body", "event"),
		Entry("an event type that is none", object{"event": "no spaces"}, 422, "event", "letters"),
		Entry("an event type that is not in the catalogue", object{"event": "no.such"}, 422, "event", "catalogue"),
		Entry("data against the schema", object{"event": "context.created", "data": object{"context_id": 1}}, 422, "data", ""),
		Entry("data that are no object", object{"event": "context.created", "data": []int{1}}, 422, "data", "object"),
		Entry("a number that JavaScript would change", `{"event":"context.created","data":{"n":9007199254740993}}`, 422, "data.n", ""),
		Entry("negative zero", `{"event":"context.created","data":{"n":-0}}`, 422, "data.n", ""),
		Entry("a member twice", `{"event":"context.created","data":{"n":1,"n":2}}`, 400, "body", ""),
		Entry("a member that does not exist", object{"event": "context.created", "id": "mine"}, 422, "id", "unexpected"),
	)
})
