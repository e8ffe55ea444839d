// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// addCRDMember gives Webhooks one more member for the rest of the spec, as a later
// version might: spec.filter.
func addCRDMember(ctx context.Context) {
	GinkgoHelper()
	definition := &unstructured.Unstructured{}
	definition.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	definition.SetName("webhooks.bbmcp.quietstack.com")
	change := func(ctx context.Context, patch string) {
		Expect(cluster.Client.Patch(ctx, definition.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(patch)))).To(Succeed())
	}
	const path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/filter"
	change(ctx, `[{"op":"add","path":"`+path+`","value":{"type":"string"}}]`)
	DeferCleanup(func(ctx SpecContext) { change(ctx, `[{"op":"remove","path":"`+path+`"}]`) })
}

var _ = Describe("a webhook with members that this version does not know", func() {
	It("gets no attempts until the members are known or gone, and its deliveries say why", func(ctx SpecContext) {
		addCRDMember(ctx)
		namespace := newNamespace(ctx)
		publisherToken := newAccount(ctx, namespace, "publisher", publisher)
		owner := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, owner, webhookBody(namespace))
		kept := readWebhook(ctx, namespace, webhook)
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))
		read := func() *v1alpha1.Webhook { return readObject(ctx, kept.DeepCopy()) }
		// Watches that were open go on for a moment without the member, and would not
		// tell of it again.
		for i, ready := 0, readiness(ctx, namespace, webhook.Name); ready() != "False ManagerTooOld"; i++ {
			Expect(i).To(BeNumerically("<", 200), "the manager never finds the member")
			filter := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"filter":"data.total > %d"}}`, i))
			Expect(cluster.Client.Patch(ctx, kept.DeepCopy(), filter)).To(Succeed())
			Eventually(func() bool { w := read(); return w.Status.ObservedGeneration == w.Generation }).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(BeTrue())
		}
		Expect(read().Spec.UnknownMembers).To(Equal([]string{"filter"}))
		Expect(meta.FindStatusCondition(read().Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("(filter)"))

		note := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"description":"after that"}}`))
		Expect(cluster.Client.Patch(ctx, kept.DeepCopy(), note)).To(Succeed())
		Eventually(func() *string {
			return decode[rest.Webhook](clientFor(owner).call(ctx, http.MethodGet, "/v1/webhooks/"+webhook.WebhookID, nil), http.StatusOK).Description
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveValue(Equal("after that")))

		// By the shared gateway, and by one whose list has the member already.
		late := startGateway(ctx, gatewayOptions())
		awaitWebhooks(ctx, apiClient{base: late.URL, token: owner}, 1)
		for i, api := range []apiClient{clientFor(publisherToken), {base: late.URL, token: publisherToken}} {
			published := publishEvent(ctx, api, numberedEvent(i))
			Expect(deliveryStates(published)).To(Equal([]string{rest.DeliveryPending}))
			Eventually(func(g Gomega) {
				var list v1alpha1.WebhookDeliveryList
				g.Expect(cluster.Client.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
				g.Expect(list.Items).To(HaveLen(i + 1))
				for _, delivery := range list.Items {
					g.Expect(delivery.Annotations).To(HaveKeyWithValue(v1alpha1.HeldAnnotation, v1alpha1.HeldGatewayTooOld))
					g.Expect(delivery.Status.Attempts).To(BeZero())
					condition := meta.FindStatusCondition(delivery.Status.Conditions, v1alpha1.ConditionSucceeded)
					g.Expect(condition).NotTo(BeNil())
					g.Expect(condition.Reason).To(Equal(v1alpha1.ReasonWebhookTooNew))
				}
			}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Succeed())
		}
		Expect(endpoint.Counts("/" + namespace).Posts).To(BeZero())

		gone := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"filter":null}}`))
		Expect(cluster.Client.Patch(ctx, kept.DeepCopy(), gone)).To(Succeed())
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))
		Eventually(func() int { return endpoint.Counts("/" + namespace).Accepted }).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(2))
	}, SpecTimeout(2*time.Minute))
})
