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

// post calls one of a webhook's or a delivery's verbs.
func post(ctx context.Context, caller api, path string) answer {
	GinkgoHelper()
	return caller.call(ctx, http.MethodPost, path, nil)
}

// deliveriesOf lists a webhook's deliveries by the REST API.
func deliveriesOf(ctx context.Context, token, webhookID string) []rest.Delivery {
	GinkgoHelper()
	return decode[rest.DeliveryList](as(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhookID+"/deliveries", nil), http.StatusOK).Data
}

// deliveryIn waits for the one delivery of a webhook to be in a state.
func deliveryIn(ctx context.Context, token, webhookID, status string) (delivery rest.Delivery) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		all := deliveriesOf(ctx, token, webhookID)
		g.Expect(all).To(HaveLen(1))
		delivery = all[0]
		g.Expect(delivery.Status).To(Equal(status))
	}).WithTimeout(soon).WithPolling(pollEvery).Should(Succeed())
	return delivery
}

var _ = Describe("suspend and resume", func() {
	It("hold and release what was collected", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace).with(object{"secret": goodSecret}))
		Expect(endpoint.Secrets("/"+namespace, goodSecret)).To(Succeed())
		path := "/v1/webhooks/" + webhook.WebhookID
		for range 2 { // repeating is no error
			Expect(decode[rest.Webhook](post(ctx, as(token), path+"/suspend"), http.StatusOK).Suspended).To(BeTrue())
		}
		Expect(decode[rest.Webhook](as(token).call(ctx, http.MethodGet, path, nil), http.StatusOK).Suspended).To(BeTrue())
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(soon).WithPolling(pollEvery).Should(Equal("True Suspended"))
		collect(ctx, objectOf(ctx, namespace, webhook), 0, 3)
		Eventually(func() []rest.Delivery { return deliveriesOf(ctx, token, webhook.WebhookID) }).WithTimeout(soon).WithPolling(pollEvery).Should(HaveLen(3))
		Expect(endpoint.Counts("/" + namespace).Posts).To(BeZero())
		for range 2 {
			Expect(decode[rest.Webhook](post(ctx, as(token), path+"/resume"), http.StatusOK).Suspended).To(BeFalse())
		}
		Expect(endpoint.Wait(ctx, "/"+namespace, func(c receiver.Counts) bool { return c.Verified == 3 })).To(Succeed())
	}, SpecTimeout(time.Minute))
})

var _ = Describe("enable", func() {
	It("ends the state disabled and answers once it has", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		endpoint.Script("/"+namespace, receiver.Step{Status: http.StatusGone}, receiver.Step{})
		webhook := created(ctx, token, hookFor(namespace))
		collect(ctx, objectOf(ctx, namespace, webhook), 0, 1)
		path := "/v1/webhooks/" + webhook.WebhookID
		Eventually(func() string {
			return decode[rest.Webhook](as(token).call(ctx, http.MethodGet, path, nil), http.StatusOK).Status
		}).WithTimeout(soon).WithPolling(pollEvery).Should(Equal(rest.WebhookDisabled))
		delivery := deliveryIn(ctx, token, webhook.WebhookID, rest.DeliveryFailed)
		said := refusal(post(ctx, as(token), "/v1/deliveries/"+delivery.DeliveryID+"/retry"), http.StatusConflict)
		Expect(said.Reason).To(Equal("WebhookDisabled"))

		got := decode[rest.Webhook](post(ctx, as(token), path+"/enable"), http.StatusOK)
		Expect(got.Status).To(Equal(rest.WebhookActive))
		decode[rest.Delivery](post(ctx, as(token), "/v1/deliveries/"+delivery.DeliveryID+"/retry"), http.StatusAccepted)
		Expect(deliveryIn(ctx, token, webhook.WebhookID, rest.DeliverySucceeded).Attempts).To(Equal(2))
		Expect(decode[rest.Webhook](post(ctx, as(token), path+"/enable"), http.StatusOK).Status).To(Equal(rest.WebhookActive), "repeating is no error")
	})
})

var _ = Describe("deleting a webhook", func() {
	It("deletes it with its Secret and its deliveries", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace))
		kept := objectOf(ctx, namespace, webhook)
		collect(ctx, kept, 0, 3)
		path := "/v1/webhooks/" + webhook.WebhookID
		got := as(token).call(ctx, http.MethodDelete, path, nil)
		Expect([]any{got.status, got.body}).To(Equal([]any{http.StatusNoContent, ""}))
		refusal(as(token).call(ctx, http.MethodGet, path, nil), http.StatusNotFound)
		refusal(as(token).call(ctx, http.MethodDelete, path, nil), http.StatusNotFound)
		Expect(apierrors.IsNotFound(cluster.Client.Get(ctx, client.ObjectKeyFromObject(kept), kept))).To(BeTrue())
		Eventually(func(g Gomega) {
			var deliveries v1alpha1.WebhookDeliveryList
			g.Expect(cluster.Client.List(ctx, &deliveries, client.InNamespace(namespace))).To(Succeed())
			g.Expect(deliveries.Items).To(BeEmpty())
			expectNoSecret(ctx, g, namespace)
		}).WithTimeout(soon).WithPolling(pollEvery).Should(Succeed())

		again := created(ctx, token, hookFor(namespace))
		Expect(again.WebhookID).To(Equal(webhook.WebhookID), "the id is that of the name")
		Expect(again.CreatedAt).NotTo(BeTemporally("<", webhook.CreatedAt))
		Expect(decode[rest.Webhook](as(token).call(ctx, http.MethodGet, path, nil), http.StatusOK).Name).To(Equal("orders"))
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
		token = account(ctx, namespace, "editor", editor)
		endpoint.Script("/"+namespace, steps...)
		webhook = created(ctx, token, hookFor(namespace))
		none := []byte(`{"spec":{"retryPolicy":{"delays":[]}}}`)
		kept := objectOf(ctx, namespace, webhook)
		Expect(cluster.Client.Patch(ctx, kept, client.RawPatch(types.MergePatchType, none))).To(Succeed())
		collect(ctx, kept, 0, 1)
		return namespace, token, webhook, deliveryIn(ctx, token, webhook.WebhookID, rest.DeliveryFailed)
	}

	It("makes one attempt, as often as it is asked for, until it succeeds", func(ctx SpecContext) {
		_, token, webhook, delivery := broken(ctx, receiver.Step{Times: 2, Status: 500}, receiver.Step{})
		path := "/v1/deliveries/" + delivery.DeliveryID + "/retry"
		accepted := decode[rest.Delivery](post(ctx, as(token), path), http.StatusAccepted)
		Expect(accepted.DeliveryID).To(Equal(delivery.DeliveryID))
		Eventually(func() int { return deliveriesOf(ctx, token, webhook.WebhookID)[0].Attempts }).WithTimeout(soon).WithPolling(pollEvery).Should(Equal(2))
		decode[rest.Delivery](post(ctx, as(token), path), http.StatusAccepted)
		Expect(deliveryIn(ctx, token, webhook.WebhookID, rest.DeliverySucceeded).Attempts).To(Equal(3))
		said := refusal(post(ctx, as(token), path), http.StatusConflict)
		Expect(said.Reason).To(Equal("DeliverySucceeded"))
	})

	It("says why it will not", func(ctx SpecContext) {
		namespace, token, webhook, delivery := broken(ctx, receiver.Step{Status: 500})
		path := "/v1/deliveries/" + delivery.DeliveryID + "/retry"
		decode[rest.Webhook](post(ctx, as(token), "/v1/webhooks/"+webhook.WebhookID+"/suspend"), http.StatusOK)
		Expect(refusal(post(ctx, as(token), path), http.StatusConflict).Reason).To(Equal("WebhookSuspended"))
		Expect(endpoint.Counts("/" + namespace).Posts).To(Equal(1))

		// A delivery outlives its webhook for a moment, and for as long as somebody
		// wants with a webhook that was deleted without it.
		kept := objectOf(ctx, namespace, webhook)
		Expect(cluster.Client.Delete(ctx, kept, client.PropagationPolicy(metav1.DeletePropagationOrphan))).To(Succeed())
		Eventually(func() string {
			return refusal(post(ctx, as(token), path), http.StatusConflict).Reason
		}).WithTimeout(soon).WithPolling(pollEvery).Should(Equal("WebhookMissing"))
	})

	It("refuses an id that does not exist", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		said := refusal(post(ctx, as(token), "/v1/deliveries/"+identity.DeliveryID("x", "y")+"/retry"), http.StatusNotFound)
		Expect(said.Reason).To(Equal("NotFound"))
	})
})
