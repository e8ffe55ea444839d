// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

// eventType is what most specs publish.
const eventType = "context.created"

// eventData is valid data of eventType; more adds members, such as `,"n":1`.
func eventData(more string) string {
	return `{"context_id":"ctx_1","agent_id":"agent","transaction_hash":"0x1","context_hash":"0x2","status":"pending"` + more + `}`
}

// eventBody is the body of a publish; more adds members beside data.
func eventBody(more string) string {
	return `{"event":"` + eventType + `","data":` + eventData("") + more + `}`
}

// createSuspendedWebhooks creates suspended webhooks, and waits until a gateway knows them. It returns them in the
// order of answers: those of the same second by UID.
func createSuspendedWebhooks(ctx context.Context, api apiClient, namespace string, names ...string) []*v1alpha1.Webhook {
	GinkgoHelper()
	var all []*v1alpha1.Webhook
	for _, name := range names {
		all = append(all, createSuspended(ctx, namespace, name))
	}
	awaitWebhooks(ctx, api, len(names))
	slices.SortFunc(all, func(a, b *v1alpha1.Webhook) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	return all
}

// awaitWebhooks waits until a gateway knows n webhooks of the caller's namespace.
func awaitWebhooks(ctx context.Context, api apiClient, n int) {
	GinkgoHelper()
	Eventually(ctx, func() int {
		got, err := api.try(ctx, http.MethodGet, "/v1/webhooks?limit=100", nil)
		if err != nil || got.status != http.StatusOK {
			return -1
		}
		return len(decode[rest.WebhookList](got, http.StatusOK).Data)
	}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(n))
}

// listDeliveries are the deliveries of a namespace, as the API server has them.
func listDeliveries(ctx context.Context, namespace string) []v1alpha1.WebhookDelivery {
	GinkgoHelper()
	var list v1alpha1.WebhookDeliveryList
	Expect(cluster.Client.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
	return list.Items
}

// publishEvent publishes an event, and expects that it is accepted.
func publishEvent(ctx context.Context, api apiClient, body any) rest.Published {
	GinkgoHelper()
	return decode[rest.Published](api.call(ctx, http.MethodPost, "/v1/events", body), http.StatusAccepted)
}

var _ = Describe("publishing an event", func() {
	var (
		namespace string
		api       apiClient
	)
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		api = clientFor(newAccount(ctx, namespace, "publisher", publisher, viewer))
	})

	It("stores exactly one delivery for each webhook that matches", func(ctx SpecContext) {
		all := createSuspendedWebhooks(ctx, api, namespace, "one", "two")
		other := &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "other"},
			Spec:       v1alpha1.WebhookSpec{URL: endpoint.URL("/other"), Events: []string{"context.failed", "verification.*"}},
		}
		Expect(cluster.Client.Create(ctx, other)).To(Succeed())
		awaitWebhooks(ctx, api, 3)
		const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		body := fmt.Sprintf(`{"data": %s, "timestamp":"2024-01-15T11:30:00.1239+01:00", "id":"order_1", "event":%q}`, eventData(`,"b":1.0,"10":1,"9":[1e2]`), eventType)
		before := time.Now()
		got := publishEvent(ctx, api.withHeader("traceparent", trace), body)

		var want []rest.PublishedDelivery
		payload := `{"event":"context.created","timestamp":"2024-01-15T10:30:00.123Z","data":{"9":[100],"10":1,"context_id":"ctx_1","agent_id":"agent","transaction_hash":"0x1","context_hash":"0x2","status":"pending","b":1}}`
		for _, webhook := range all {
			name := identity.DeliveryName("order_1", string(webhook.UID))
			want = append(want, rest.PublishedDelivery{DeliveryID: identity.DeliveryID(name, ""), WebhookID: identity.WebhookID(namespace, webhook.Name), Status: rest.DeliveryPending})
			var object v1alpha1.WebhookDelivery
			Expect(cluster.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &object)).To(Succeed())
			accepted := object.Spec.AcceptedTime
			Expect(accepted.Time).To(BeTemporally("~", before, 10*time.Second))
			Expect(object.Spec).To(Equal(v1alpha1.WebhookDeliverySpec{
				WebhookRef: v1alpha1.WebhookReference{Name: webhook.Name}, EventID: "order_1", EventType: eventType, Payload: payload,
				AcceptedTime: accepted, TraceParent: trace, PublishedBy: "system:serviceaccount:" + namespace + ":publisher",
			}))
			Expect(object.Labels).To(Equal(map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway, v1alpha1.WebhookLabel: webhook.Name}))
			Expect(object.OwnerReferences).To(Equal([]metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "Webhook", Name: webhook.Name, UID: webhook.UID, Controller: new(true),
			}}))
		}
		Expect(got).To(Equal(rest.Published{EventID: "order_1", Deliveries: want, Skipped: []rest.SkippedWebhook{}}))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(2))
	})

	It("generates an id, and takes the time of acceptance as timestamp", func(ctx SpecContext) {
		createSuspendedWebhooks(ctx, api, namespace, "one")
		got := publishEvent(ctx, api, eventBody(""))
		Expect(got.EventID).To(MatchRegexp(`^evt_[0-9A-HJKMNP-TV-Z]{26}$`))
		Expect(publishEvent(ctx, api, eventBody("")).EventID).NotTo(Equal(got.EventID))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(2))
	})

	It("accepts an event that no webhook matches", func(ctx SpecContext) {
		got := publishEvent(ctx, api, eventBody(`,"id":"e1"`))
		Expect(got).To(Equal(rest.Published{EventID: "e1", Deliveries: []rest.PublishedDelivery{}, Skipped: []rest.SkippedWebhook{}}))
	})

	It("delivers the event to the endpoints", func(ctx SpecContext) {
		webhook := &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "live"},
			Spec:       v1alpha1.WebhookSpec{URL: endpoint.URL("/" + namespace), Events: []string{"context.*"}},
		}
		Expect(cluster.Client.Create(ctx, webhook)).To(Succeed())
		awaitWebhooks(ctx, api, 1)
		got := publishEvent(ctx, api, eventBody(`,"timestamp":"2024-01-15T10:30:00Z"`))
		Eventually(ctx, func() int { return endpoint.Counts("/" + namespace).Posts }).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(1))
		arrived := endpoint.Received("/" + namespace)[0]
		Expect(arrived.EventID).To(Equal(got.EventID))
		Expect(arrived.Delivery).To(Equal(got.Deliveries[0].DeliveryID))
		Expect(arrived.Body).To(Equal(`{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":` + eventData("") + `}`))
		Eventually(ctx, func() string {
			return publishEvent(ctx, api, eventBody(`,"id":"`+got.EventID+`"`)).Deliveries[0].Status
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(rest.DeliverySucceeded), "repeating tells how it went")
	})

	DescribeTable("refuses an invalid event, and stores nothing",
		func(ctx SpecContext, body string, status int, field, reason string) {
			createSuspendedWebhooks(ctx, api, namespace, "one")
			got := api.call(ctx, http.MethodPost, "/v1/events", body)
			problem := decodeProblem(got, status)
			Expect(problem.Errors).To(HaveLen(1), got.body)
			Expect(problem.Errors[0].Field).To(Equal(field), got.body)
			Expect(problem.Errors[0].Reason).To(Equal(reason))
			Expect(problem.Reason).To(Equal(reason))
			Expect(problem.Detail).To(Equal(field + ": " + problem.Errors[0].Detail))
			Expect(problem.RequestID).NotTo(BeEmpty())
			Expect(len(got.body)).To(BeNumerically("<", 2048), "what was sent is not repeated")
			Expect(listDeliveries(ctx, namespace)).To(BeEmpty())
		},
		Entry("nothing", "", 400, "body", "InvalidJSON"),
		Entry("malformed JSON", `{"event":"context.created","data":{"a":}}`, 400, "data.a", "InvalidJSON"),
		Entry("JSON that ends too early", `{"event":"context.created","data":{`, 400, "data", "InvalidJSON"),
		Entry("something behind it", eventBody("")+"{}", 400, "body", "TrailingData"),
		Entry("an array", `[`+eventBody("")+`]`, 422, "body", "NotAnObject"),
		Entry("no event", `{"data":{}}`, 422, "event", "MissingMember"),
		Entry("no data", `{"event":"context.created"}`, 422, "data", "MissingMember"),
		Entry("data that is null", `{"event":"context.created","data":null}`, 422, "data", "NotAnObject"),
		Entry("data that is an array", `{"event":"context.created","data":[]}`, 422, "data", "NotAnObject"),
		Entry("an event that is a number", `{"event":7,"data":{}}`, 422, "event", "InvalidEventType"),
		Entry("an event with a space", `{"event":"a b","data":{}}`, 422, "event", "InvalidEventType"),
		Entry("an event that ends its line", `{"event":"a\r\nX: y","data":{}}`, 422, "event", "InvalidEventType"),
		Entry("an unknown field", eventBody(`,"event_id":"x"`), 422, "event_id", "UnknownMember"),
		Entry("a field with a capital", eventBody(`,"ID":"x"`), 422, "ID", "UnknownMember"),
		Entry("a field twice", eventBody(`,"event":"context.failed"`), 422, "event", "DuplicateKey"),
		Entry("a field twice in disguise", eventBody(`,"\u0064ata":{}`), 422, "data", "DuplicateKey"),
		Entry("a key twice in data", `{"event":"context.created","data":`+eventData(`,"items":[{"a":1,"a":1}]`)+`}`, 422, "data.items[0].a", "DuplicateKey"),
		Entry("a number that JavaScript would change", `{"event":"context.created","data":`+eventData(`,"n":9007199254740993`)+`}`, 422, "data.n", "NumberNotExact"),
		Entry("a number beyond all numbers", `{"event":"context.created","data":`+eventData(`,"n":1E400`)+`}`, 422, "data.n", "NumberNotExact"),
		Entry("minus zero", `{"event":"context.created","data":`+eventData(`,"n":-0`)+`}`, 422, "data.n", "NegativeZero"),
		Entry("a lone surrogate", `{"event":"context.created","data":`+eventData(`,"s":"\ud800"`)+`}`, 422, "data.s", "LoneSurrogate"),
		Entry("a lone surrogate in the id", eventBody(`,"id":"\ud800"`), 422, "id", "LoneSurrogate"),
		Entry("bytes that are not UTF-8", `{"event":"context.created","data":`+eventData(`,"s":"`+"\xff"+`"`)+`}`, 422, "data.s", "InvalidUTF8"),
		Entry("65 levels", `{"event":"context.created","data":`+eventData(`,"a":`+strings.Repeat("[", 63)+strings.Repeat("]", 63))+`}`, 422, "data…"+strings.Repeat("[0]", 16), "TooDeep"),
		Entry("257 KiB", `{"event":"context.created","data":`+eventData(`,"s":"`+strings.Repeat("x", 257<<10)+`"`)+`}`, 413, "payload", "TooLarge"),
		Entry("more than is read", `{"event":"context.created","data":`+eventData(strings.Repeat(" ", 1<<20))+`}`, 413, "body", "TooLarge"),
		Entry("an unknown event type", `{"event":"context.unheard","data":{}}`, 422, "event", "EventTypeNotRegistered"),
		Entry("data against the schema", `{"event":"context.created","data":`+strings.Replace(eventData(""), "pending", "done", 1)+`}`, 422, "data.status", "SchemaViolated"),
		Entry("an id that is a number", eventBody(`,"id":7`), 422, "id", "InvalidEventID"),
		Entry("an empty id", eventBody(`,"id":""`), 422, "id", "InvalidEventID"),
		Entry("an id that ends its line", eventBody(`,"id":"a\r\nb"`), 422, "id", "InvalidEventID"),
		Entry("an id with dots", eventBody(`,"id":"../a"`), 422, "id", "InvalidEventID"),
		Entry("an id of 65 bytes", eventBody(`,"id":"`+strings.Repeat("a", 65)+`"`), 422, "id", "InvalidEventID"),
		Entry("a timestamp that is none", eventBody(`,"timestamp":"yesterday"`), 422, "timestamp", "InvalidTimestamp"),
		Entry("a timestamp that is a number", eventBody(`,"timestamp":1705314600`), 422, "timestamp", "InvalidTimestamp"),
	)

	DescribeTable("refuses headers that contradict the body",
		func(ctx SpecContext, name, value string, status int, field, reason string) {
			createSuspendedWebhooks(ctx, api, namespace, "one")
			problem := decodeProblem(api.withHeader(name, value).call(ctx, http.MethodPost, "/v1/events", eventBody(`,"id":"a"`)), status)
			Expect(problem.Errors).To(HaveLen(1))
			Expect([]string{problem.Errors[0].Field, problem.Reason}).To(Equal([]string{field, reason}))
			Expect(listDeliveries(ctx, namespace)).To(BeEmpty())
		},
		Entry("another id", "Idempotency-Key", "b", 422, "header.Idempotency-Key", "InvalidEventID"),
		Entry("an id that is none", "Idempotency-Key", "a.b", 422, "header.Idempotency-Key", "InvalidEventID"),
		Entry("a form", "Content-Type", "application/x-www-form-urlencoded", 415, "header.Content-Type", "MediaTypeUnknown"),
		Entry("another charset", "Content-Type", "application/json; charset=latin1", 415, "header.Content-Type", "MediaTypeUnknown"),
		Entry("CloudEvents in XML", "Content-Type", "application/cloudevents+xml", 415, "header.Content-Type", "MediaTypeUnknown"),
	)

	It("blames a schema that cannot be compiled on the operator", func(ctx SpecContext) {
		broken := &v1alpha1.EventType{ObjectMeta: metav1.ObjectMeta{Name: namespace + ".broken"}, Spec: v1alpha1.EventTypeSpec{Schema: `{"type":"objekt"}`}}
		Expect(cluster.Client.Create(ctx, broken)).To(Succeed())
		known := func(ctx context.Context) bool {
			return strings.Contains(api.call(ctx, http.MethodGet, "/v1/event-types", nil).body, broken.Name)
		}
		DeferCleanup(func(ctx SpecContext) {
			Expect(cluster.Client.Delete(ctx, broken)).To(Succeed())
			Eventually(known).WithContext(ctx).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(BeFalse())
		})
		Eventually(known).WithContext(ctx).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(BeTrue())
		problem := decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", `{"event":"`+broken.Name+`","data":{}}`), http.StatusUnprocessableEntity)
		Expect(problem.Reason).To(Equal("EventTypeInvalid"))
		Expect(problem.Detail).To(And(ContainSubstring(broken.Name), ContainSubstring("operator")))
	})

	It("is forbidden without the right to publish the type in the namespace", func(ctx SpecContext) {
		for _, roles := range [][]string{{}, {viewer}, {deliveryViewer}, {editor}} {
			token := newAccount(ctx, namespace, "other"+strings.Join(roles, ""), roles...)
			problem := decodeProblem(clientFor(token).call(ctx, http.MethodPost, "/v1/events", `{"event":"no.such.type","data":{}}`), http.StatusForbidden)
			Expect(problem.Reason).To(Equal("Forbidden"), "and not whether the type exists")
		}
		elsewhere := newNamespace(ctx)
		decodeProblem(api.call(ctx, http.MethodPost, "/v1/events?namespace="+elsewhere, eventBody("")), http.StatusForbidden)
	})
})
