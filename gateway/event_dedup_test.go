// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// payloadTimestamps are the distinct timestamps in the payloads of deliveries.
func payloadTimestamps(deliveries []v1alpha1.WebhookDelivery) (stamps []string) {
	GinkgoHelper()
	seen := map[string]bool{}
	for _, delivery := range deliveries {
		var body struct{ Timestamp string }
		Expect(json.Unmarshal([]byte(delivery.Spec.Payload), &body)).To(Succeed())
		if !seen[body.Timestamp] {
			seen[body.Timestamp] = true
			stamps = append(stamps, body.Timestamp)
		}
	}
	return stamps
}

// change patches a webhook as its owner does.
func change(ctx context.Context, webhook *v1alpha1.Webhook, patch string) {
	GinkgoHelper()
	Expect(cluster.Client.Patch(ctx, webhook, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

var _ = Describe("an event published again under its id", func() {
	var (
		namespace string
		api       apiClient
		webhooks  []*v1alpha1.Webhook
	)
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		api = clientFor(newAccount(ctx, namespace, "publisher", publisher, viewer))
		webhooks = createSuspendedWebhooks(ctx, api, namespace, "one", "two", "three")
	})
	repeat := func(ctx context.Context, api apiClient, body string) rest.Problem {
		GinkgoHelper()
		return decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", body), http.StatusConflict)
	}

	It("makes no second delivery, and keeps the first timestamp", func(ctx SpecContext) {
		first := publishEvent(ctx, api, eventBody(`,"id":"e1"`))
		Expect(first.Deliveries).To(HaveLen(3))
		before := listDeliveries(ctx, namespace)
		Expect(payloadTimestamps(before)).To(HaveLen(1))
		Expect(publishEvent(ctx, api, eventBody(`,"id":"e1"`))).To(Equal(first))
		Expect(publishEvent(ctx, api.withHeader("Idempotency-Key", "e1"), eventBody(""))).To(Equal(first), "by the header")
		Expect(publishEvent(ctx, api.withHeader("Idempotency-Key", "e1"), eventBody(`,"id":"e1"`))).To(Equal(first), "by both")
		Expect(publishEvent(ctx, api, eventBody(`,"id":"e1","timestamp":"`+payloadTimestamps(before)[0]+`"`))).To(Equal(first), "with the same timestamp")
		respelt := strings.ReplaceAll(eventBody(`,"id":"e1"`), `"ctx_1"`, ` "ctx\u005f1" `)
		Expect(publishEvent(ctx, api, respelt)).To(Equal(first), "in another spelling")
		after := listDeliveries(ctx, namespace)
		Expect(after).To(HaveLen(len(before)))
		for i, delivery := range after {
			Expect(delivery.UID).To(Equal(before[i].UID))
		}
	})

	It("is refused with another type, other data or another timestamp", func(ctx SpecContext) {
		publishEvent(ctx, api, eventBody(`,"id":"e1"`))
		for name, body := range map[string]string{
			"event":     `{"id":"e1","event":"context.failed","data":{"context_id":"ctx_1","agent_id":"a","status":"failed","error":{"code":"E","message":"m"}}}`,
			"data":      `{"id":"e1","event":"context.created","data":` + eventData(`,"n":1`) + `}`,
			"timestamp": eventBody(`,"id":"e1","timestamp":"2024-01-15T10:30:00Z"`),
		} {
			problem := repeat(ctx, api, body)
			Expect(problem.Reason).To(Equal("EventIDTaken"), name)
			Expect(problem.Errors[0].Field).To(Equal("id"))
		}
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(3))
	})

	It("completes a fan-out that was cut short, with the first timestamp", func(ctx SpecContext) {
		first := publishEvent(ctx, api, eventBody(`,"id":"e1"`))
		stamp := payloadTimestamps(listDeliveries(ctx, namespace))
		lost := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: identity.DeliveryName("e1", string(webhooks[0].UID))}}
		Expect(cluster.Client.Delete(ctx, lost)).To(Succeed())
		viewing := clientFor(newAccount(ctx, namespace, "viewing", deliveryViewer))
		Eventually(ctx, func() int {
			return viewing.call(ctx, http.MethodGet, "/v1/deliveries/"+first.Deliveries[0].DeliveryID, nil).status
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(http.StatusNotFound))
		Expect(publishEvent(ctx, api, eventBody(`,"id":"e1"`))).To(Equal(first))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(3))
		Expect(payloadTimestamps(listDeliveries(ctx, namespace))).To(Equal(stamp))
	})

	It("reports existing deliveries of webhooks that match it no longer", func(ctx SpecContext) {
		first := publishEvent(ctx, api, eventBody(`,"id":"e1"`))
		endpoint.Script("/"+namespace, receiver.Step{Status: http.StatusGone})
		change(ctx, webhooks[0], `{"spec":{"suspend":false,"url":"`+endpoint.URL("/"+namespace)+`"}}`)
		change(ctx, webhooks[1], `{"spec":{"events":["other"]}}`)
		Eventually(ctx, func() []rest.PublishedDelivery { return publishEvent(ctx, api, eventBody("")).Deliveries }).
			WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveLen(1), "the first is disabled, the second wants other events")
		first.Deliveries[0].Status = rest.DeliveryFailed
		Expect(publishEvent(ctx, api, eventBody(`,"id":"e1"`)).Deliveries).To(ConsistOf(first.Deliveries))
		got := publishEvent(ctx, api, eventBody(""))
		Expect(got.Skipped).To(Equal([]rest.SkippedWebhook{{WebhookID: identity.WebhookID(namespace, webhooks[0].Name), Reason: rest.SkippedDisabled}}))
	})

	It("is refused where a foreign object has the name of its delivery", func(ctx SpecContext) {
		owner := metav1.NewControllerRef(webhooks[0], v1alpha1.GroupVersion.WithKind("Webhook"))
		good := v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: webhooks[0].Name}, EventType: eventType,
			Payload: `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":` + eventData("") + `}`,
		}
		for name, squat := range map[string]func(*v1alpha1.WebhookDelivery){
			"no-owner": func(d *v1alpha1.WebhookDelivery) { d.OwnerReferences = nil },
			"other-owner": func(d *v1alpha1.WebhookDelivery) {
				// Its name, too: else the garbage collector deletes the object.
				d.OwnerReferences[0].Name, d.OwnerReferences[0].UID = webhooks[1].Name, webhooks[1].UID
			},
			"other-event":   func(d *v1alpha1.WebhookDelivery) { d.Spec.EventID = "else" },
			"other-webhook": func(d *v1alpha1.WebhookDelivery) { d.Spec.WebhookRef.Name = webhooks[1].Name },
			"other-payload": func(d *v1alpha1.WebhookDelivery) {
				d.Spec.Payload = strings.Replace(d.Spec.Payload, "ctx_1", "ctx_2", 1)
			},
			"no-payload": func(d *v1alpha1.WebhookDelivery) { d.Spec.Payload = "{}" },
			"other-type": func(d *v1alpha1.WebhookDelivery) { d.Spec.EventType = "context.failed" },
			"a-test":     func(d *v1alpha1.WebhookDelivery) { d.Spec.Test = true },
		} {
			object := &v1alpha1.WebhookDelivery{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: identity.DeliveryName(name, string(webhooks[0].UID)), OwnerReferences: []metav1.OwnerReference{*owner}},
				Spec:       good,
			}
			object.Spec.EventID = name
			squat(object)
			Expect(cluster.Client.Create(ctx, object)).To(Succeed(), name)
			Expect(repeat(ctx, api, eventBody(`,"id":"`+name+`"`)).Reason).To(Equal("EventIDTaken"), name)
		}
		for _, delivery := range listDeliveries(ctx, namespace) {
			Expect(delivery.Labels).NotTo(HaveKey(v1alpha1.OriginLabel), "nothing was created beside %s", delivery.Spec.EventID)
		}
	})

	It("ignores an object made by hand for an event of the same id", func(ctx SpecContext) {
		byHand := &v1alpha1.WebhookDelivery{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "by-hand"},
			Spec: v1alpha1.WebhookDeliverySpec{
				WebhookRef: v1alpha1.WebhookReference{Name: "one"}, EventID: "e1", EventType: "context.failed",
				Payload: `{"event":"context.failed","timestamp":"2024-01-15T10:30:00Z","data":{}}`,
			},
		}
		Expect(cluster.Client.Create(ctx, byHand)).To(Succeed())
		Expect(publishEvent(ctx, api, eventBody(`,"id":"e1"`)).Deliveries).To(HaveLen(3))
	})
})
