// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// postAction calls one of a webhook's or a delivery's verbs.
func postAction(ctx context.Context, caller apiClient, path string) answer {
	GinkgoHelper()
	return caller.call(ctx, http.MethodPost, path, nil)
}

// listWebhookDeliveries lists a webhook's deliveries by the REST API.
func listWebhookDeliveries(ctx context.Context, token, webhookID string) []rest.Delivery {
	GinkgoHelper()
	return decode[rest.DeliveryList](clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhookID+"/deliveries", nil), http.StatusOK).Data
}

// awaitDeliveryState waits for the one delivery of a webhook to be in a state.
func awaitDeliveryState(ctx context.Context, token, webhookID, status string) (delivery rest.Delivery) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		all := listWebhookDeliveries(ctx, token, webhookID)
		g.Expect(all).To(HaveLen(1))
		delivery = all[0]
		g.Expect(delivery.Status).To(Equal(status))
	}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Succeed())
	return delivery
}

var _ = Describe("suspend and resume", func() {
	It("hold deliveries and release them", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"secret": validSecret}))
		Expect(endpoint.Secrets("/"+namespace, validSecret)).To(Succeed())
		path := "/v1/webhooks/" + webhook.WebhookID
		for range 2 { // repeating is no error
			Expect(decode[rest.Webhook](postAction(ctx, clientFor(token), path+"/suspend"), http.StatusOK).Suspended).To(BeTrue())
		}
		Expect(decode[rest.Webhook](clientFor(token).call(ctx, http.MethodGet, path, nil), http.StatusOK).Suspended).To(BeTrue())
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Suspended"))
		createDeliveries(ctx, readWebhook(ctx, namespace, webhook), 0, 3)
		Eventually(func() []rest.Delivery { return listWebhookDeliveries(ctx, token, webhook.WebhookID) }).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveLen(3))
		Expect(endpoint.Counts("/" + namespace).Posts).To(BeZero())
		for range 2 {
			Expect(decode[rest.Webhook](postAction(ctx, clientFor(token), path+"/resume"), http.StatusOK).Suspended).To(BeFalse())
		}
		Expect(endpoint.Wait(ctx, "/"+namespace, func(c receiver.Counts) bool { return c.Verified == 3 })).To(Succeed())
	}, SpecTimeout(time.Minute))
})

var _ = Describe("enable", func() {
	It("ends the state disabled, and answers once the controller has ended it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		endpoint.Script("/"+namespace, receiver.Step{Status: http.StatusGone}, receiver.Step{})
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		createDeliveries(ctx, readWebhook(ctx, namespace, webhook), 0, 1)
		path := "/v1/webhooks/" + webhook.WebhookID
		Eventually(func() string {
			return decode[rest.Webhook](clientFor(token).call(ctx, http.MethodGet, path, nil), http.StatusOK).Status
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(rest.WebhookDisabled))
		delivery := awaitDeliveryState(ctx, token, webhook.WebhookID, rest.DeliveryFailed)
		problem := decodeProblem(postAction(ctx, clientFor(token), "/v1/deliveries/"+delivery.DeliveryID+"/retry"), http.StatusConflict)
		Expect(problem.Reason).To(Equal("WebhookDisabled"))

		got := decode[rest.Webhook](postAction(ctx, clientFor(token), path+"/enable"), http.StatusOK)
		Expect(got.Status).To(Equal(rest.WebhookActive))
		decode[rest.Delivery](postAction(ctx, clientFor(token), "/v1/deliveries/"+delivery.DeliveryID+"/retry"), http.StatusAccepted)
		Expect(awaitDeliveryState(ctx, token, webhook.WebhookID, rest.DeliverySucceeded).Attempts).To(Equal(2))
		Expect(decode[rest.Webhook](postAction(ctx, clientFor(token), path+"/enable"), http.StatusOK).Status).To(Equal(rest.WebhookActive), "repeating is no error")
	})
})

var _ = Describe("deleting a webhook", func() {
	It("deletes its Secret and its deliveries as well", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		kept := readWebhook(ctx, namespace, webhook)
		createDeliveries(ctx, kept, 0, 3)
		path := "/v1/webhooks/" + webhook.WebhookID
		got := clientFor(token).call(ctx, http.MethodDelete, path, nil)
		Expect([]any{got.status, got.body}).To(Equal([]any{http.StatusNoContent, ""}))
		decodeProblem(clientFor(token).call(ctx, http.MethodGet, path, nil), http.StatusNotFound)
		decodeProblem(clientFor(token).call(ctx, http.MethodDelete, path, nil), http.StatusNotFound)
		Expect(apierrors.IsNotFound(cluster.Client.Get(ctx, client.ObjectKeyFromObject(kept), kept))).To(BeTrue())
		Eventually(func(g Gomega) {
			var deliveries v1alpha1.WebhookDeliveryList
			g.Expect(cluster.Client.List(ctx, &deliveries, client.InNamespace(namespace))).To(Succeed())
			g.Expect(deliveries.Items).To(BeEmpty())
			expectNoSecret(ctx, g, namespace)
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Succeed())

		again := createWebhook(ctx, token, webhookBody(namespace))
		Expect(again.WebhookID).To(Equal(webhook.WebhookID), "the id is that of the name")
		Expect(again.CreatedAt).NotTo(BeTemporally("<", webhook.CreatedAt))
		Expect(decode[rest.Webhook](clientFor(token).call(ctx, http.MethodGet, path, nil), http.StatusOK).Name).To(Equal("orders"))
	})
})

func expectNoSecret(ctx context.Context, g Gomega, namespace string) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(secretKind)
	g.Expect(cluster.Client.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
	g.Expect(list.Items).To(BeEmpty())
}

var _ = Describe("retrying a delivery", func() {
	// broken makes a webhook with one delivery that has failed for good.
	broken := func(ctx context.Context, steps ...receiver.Step) (namespace, token string, webhook rest.Webhook, delivery rest.Delivery) {
		GinkgoHelper()
		namespace = newNamespace(ctx)
		token = newAccount(ctx, namespace, "editor", editor)
		endpoint.Script("/"+namespace, steps...)
		webhook = createWebhook(ctx, token, webhookBody(namespace))
		none := []byte(`{"spec":{"retryPolicy":{"delays":[]}}}`)
		kept := readWebhook(ctx, namespace, webhook)
		Expect(cluster.Client.Patch(ctx, kept, client.RawPatch(types.MergePatchType, none))).To(Succeed())
		createDeliveries(ctx, kept, 0, 1)
		return namespace, token, webhook, awaitDeliveryState(ctx, token, webhook.WebhookID, rest.DeliveryFailed)
	}

	It("makes one attempt for each request, until the delivery succeeds", func(ctx SpecContext) {
		_, token, webhook, delivery := broken(ctx, receiver.Step{Times: 2, Status: 500}, receiver.Step{})
		path := "/v1/deliveries/" + delivery.DeliveryID + "/retry"
		accepted := decode[rest.Delivery](postAction(ctx, clientFor(token), path), http.StatusAccepted)
		Expect(accepted.DeliveryID).To(Equal(delivery.DeliveryID))
		Eventually(func() int { return listWebhookDeliveries(ctx, token, webhook.WebhookID)[0].Attempts }).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(2))
		decode[rest.Delivery](postAction(ctx, clientFor(token), path), http.StatusAccepted)
		Expect(awaitDeliveryState(ctx, token, webhook.WebhookID, rest.DeliverySucceeded).Attempts).To(Equal(3))
		problem := decodeProblem(postAction(ctx, clientFor(token), path), http.StatusConflict)
		Expect(problem.Reason).To(Equal("DeliverySucceeded"))
	})

	It("is refused with the reason", func(ctx SpecContext) {
		namespace, token, webhook, delivery := broken(ctx, receiver.Step{Status: 500})
		path := "/v1/deliveries/" + delivery.DeliveryID + "/retry"
		decode[rest.Webhook](postAction(ctx, clientFor(token), "/v1/webhooks/"+webhook.WebhookID+"/suspend"), http.StatusOK)
		Expect(decodeProblem(postAction(ctx, clientFor(token), path), http.StatusConflict).Reason).To(Equal("WebhookSuspended"))
		Expect(endpoint.Counts("/" + namespace).Posts).To(Equal(1))

		// A delivery outlives its webhook for a moment, and for as long as somebody
		// wants with a webhook that was deleted without it.
		kept := readWebhook(ctx, namespace, webhook)
		Expect(cluster.Client.Delete(ctx, kept, client.PropagationPolicy(metav1.DeletePropagationOrphan))).To(Succeed())
		Eventually(func() string {
			return decodeProblem(postAction(ctx, clientFor(token), path), http.StatusConflict).Reason
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("WebhookMissing"))
	})

	It("is refused for an id that does not exist", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		problem := decodeProblem(postAction(ctx, clientFor(token), "/v1/deliveries/"+identity.DeliveryID("x", "y")+"/retry"), http.StatusNotFound)
		Expect(problem.Reason).To(Equal("NotFound"))
	})
})
