// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"fmt"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

const (
	structured = "application/cloudevents+json"
	batched    = "application/cloudevents-batch+json"
)

// cloudEvent is one in the JSON format; more is members to add.
func cloudEvent(id, more string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/orders","type":%q%s}`, id, eventType, more)
}

var _ = Describe("publishing CloudEvents", func() {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var (
		namespace string
		on        api
	)
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		on = as(account(ctx, namespace, "publisher", publisher, viewer))
		createSuspendedWebhooks(ctx, on, namespace, "one")
	})

	It("takes the same event in structured and in binary mode", func(ctx SpecContext) {
		all := `,"time":"2024-01-15T10:30:00.5Z","subject":"s","dataschema":"https://example.com/s","datacontenttype":"application/json; charset=UTF-8","traceparent":"` + trace + `","flag":true,"n":-7,"unset":null,"data":` + eventData("")
		got := publishEvent(ctx, on.with("Content-Type", structured+"; charset=utf-8"), cloudEvent("e ü", all))
		Expect(got.EventID).To(Equal(identity.CloudEventID("/orders", "e ü")))
		spec := listDeliveries(ctx, namespace)[0].Spec
		Expect(spec.Payload).To(Equal(`{"event":"context.created","timestamp":"2024-01-15T10:30:00.500Z","data":` + eventData("") + `}`))
		Expect(spec.TraceParent).To(Equal(trace))

		binary := on.with("Ce-Specversion", "1.0").with("Ce-Id", "e%20%C3%BC").with("Ce-Source", "/orders").with("Ce-Type", eventType).
			with("Ce-Time", "2024-01-15T10:30:00.5Z").with("Ce-Subject", "s").with("Content-Type", "application/json")
		Expect(publishEvent(ctx, binary, eventData("")).EventID).To(Equal(got.EventID))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(1))
		said := refusal(binary.call(ctx, http.MethodPost, "/v1/events", eventData(`,"n":1`)), http.StatusConflict)
		Expect(said.Reason).To(Equal("EventIDTaken"))
	})

	It("makes the present the timestamp if there is no time, once", func(ctx SpecContext) {
		first := publishEvent(ctx, on.with("Content-Type", structured), cloudEvent("e1", `,"data":`+eventData("")))
		Expect(publishEvent(ctx, on.with("Content-Type", structured), cloudEvent("e1", `,"data":`+eventData("")))).To(Equal(first))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(1))
	})

	DescribeTable("refuses one that cannot be carried, and stores nothing",
		func(ctx SpecContext, body string, status int, field, reason string) {
			got := on.with("Content-Type", structured).call(ctx, http.MethodPost, "/v1/events", body)
			said := refusal(got, status)
			Expect(said.Errors).To(HaveLen(1), got.body)
			Expect([]string{said.Errors[0].Field, said.Reason}).To(Equal([]string{field, reason}), got.body)
			Expect(listDeliveries(ctx, namespace)).To(BeEmpty())
		},
		Entry("no JSON", `{"specversion"`, 400, "specversion", "InvalidJSON"),
		Entry("no id", strings.Replace(cloudEvent("x", ""), `"id"`, `"ident"`, 1), 422, "id", "MissingMember"),
		Entry("an id of white space", cloudEvent(" ", ""), 422, "id", "FieldInvalid"),
		Entry("a source that is no URI", strings.Replace(cloudEvent("x", ""), `/orders`, `%zz`, 1), 422, "source", "FieldInvalid"),
		Entry("another version", strings.Replace(cloudEvent("x", ""), `1.0`, `0.3`, 1), 422, "specversion", "FieldInvalid"),
		Entry("a type that is none of ours", strings.Replace(cloudEvent("x", ""), eventType, "com/x", 1), 422, "type", "InvalidEventType"),
		Entry("a type not in the catalogue", strings.Replace(cloudEvent("x", ""), eventType, "com.x", 1), 422, "type", "EventTypeNotRegistered"),
		Entry("no data where the schema wants some", cloudEvent("x", ""), 422, "data", "SchemaViolated"),
		Entry("data that is null", cloudEvent("x", `,"data":null`), 422, "data", "NotAnObject"),
		Entry("data that is a string", cloudEvent("x", `,"data":"{}"`), 422, "data", "NotAnObject"),
		Entry("data in base64", cloudEvent("x", `,"data_base64":"e30="`), 422, "data_base64", "FieldInvalid"),
		Entry("data that is XML", cloudEvent("x", `,"datacontenttype":"text/xml","data":{}`), 422, "datacontenttype", "FieldInvalid"),
		Entry("a time that is none", cloudEvent("x", `,"time":"noon"`), 422, "time", "InvalidTimestamp"),
		Entry("a time that is a number", cloudEvent("x", `,"time":1`), 422, "time", "FieldInvalid"),
		Entry("an attribute twice", cloudEvent("x", `,"id":"y"`), 422, "id", "DuplicateKey"),
		Entry("a key twice in data", cloudEvent("x", `,"data":`+eventData(`,"a":{"b":1,"b":2}`)), 422, "data.a.b", "DuplicateKey"),
		Entry("an attribute that is an object", cloudEvent("x", `,"ext":{}`), 422, "ext", "FieldInvalid"),
		Entry("an attribute of 33 bits", cloudEvent("x", `,"ext":4294967296`), 422, "ext", "FieldInvalid"),
		Entry("a name that is none", cloudEvent("x", `,"a_b":"c"`), 422, "a_b", "FieldInvalid"),
		Entry("an empty name", cloudEvent("x", `,"":"c"`), 422, `[""]`, "FieldInvalid"),
		Entry("a number that JavaScript would change", cloudEvent("x", `,"data":`+eventData(`,"n":0.1234567890123456789`)), 422, "data.n", "NumberNotExact"),
	)

	DescribeTable("refuses headers of binary mode that are wrong",
		func(ctx SpecContext, name, value, field, reason string) {
			binary := on.with("Ce-Specversion", "1.0").with("Ce-Id", "x").with("Ce-Source", "/orders").with("Ce-Type", eventType).with(name, value)
			if value == "" {
				delete(binary.header, name)
			}
			got := binary.call(ctx, http.MethodPost, "/v1/events", eventData(""))
			said := refusal(got, http.StatusUnprocessableEntity)
			Expect([]string{said.Errors[0].Field, said.Reason}).To(Equal([]string{field, reason}), got.body)
			Expect(listDeliveries(ctx, namespace)).To(BeEmpty())
		},
		Entry("no version", "Ce-Specversion", "", "header.Ce-Specversion", "MissingMember"),
		Entry("no type", "Ce-Type", "", "header.Ce-Type", "MissingMember"),
		Entry("a broken escape", "Ce-Id", "100%", "header.Ce-Id", "FieldInvalid"),
		Entry("a time that is none", "Ce-Time", "noon", "header.Ce-Time", "InvalidTimestamp"),
		Entry("data that is text", "Content-Type", "text/plain", "header.Content-Type", "FieldInvalid"),
		Entry("a key of its own", "Idempotency-Key", "x", "header.Idempotency-Key", "InvalidEventID"),
	)

	It("answers for each event of a batch", func(ctx SpecContext) {
		on := on.with("Content-Type", batched)
		good := `,"data":` + eventData("")
		all := decode[rest.BatchPublished](on.call(ctx, http.MethodPost, "/v1/events", "["+cloudEvent("a", good)+","+cloudEvent("b", good)+","+cloudEvent("a", good)+"]"), http.StatusAccepted)
		Expect(all.Results).To(HaveLen(3))
		Expect(all.Results[0].Published).To(Equal(all.Results[2].Published), "the same event")
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(2))

		mixed := decode[rest.BatchPublished](on.call(ctx, http.MethodPost, "/v1/events",
			"["+strings.Join([]string{cloudEvent("c", good), cloudEvent("d", `,"data":[]`), `7`, cloudEvent("e", `,"id":"f"`), cloudEvent("a", `,"data":`+eventData(`,"n":1`))}, ",")+"]"), http.StatusMultiStatus)
		var statuses []int
		for _, result := range mixed.Results {
			statuses = append(statuses, result.Status)
			Expect(result.Published != nil).To(Equal(result.Status == http.StatusAccepted))
			if result.Problem != nil {
				Expect(result.Problem.Status).To(Equal(result.Status))
				Expect(result.Problem.RequestID).NotTo(BeEmpty())
			}
		}
		Expect(statuses).To(Equal([]int{202, 422, 422, 422, 409}))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(3))
		Expect(decode[rest.BatchPublished](on.call(ctx, http.MethodPost, "/v1/events", "[]"), http.StatusAccepted).Results).To(BeEmpty())
	})

	It("refuses a batch that is none, whole", func(ctx SpecContext) {
		on := on.with("Content-Type", batched)
		Expect(refusal(on.call(ctx, http.MethodPost, "/v1/events", "["+cloudEvent("a", "")+","), http.StatusBadRequest).Reason).To(Equal("InvalidJSON"))
		Expect(refusal(on.call(ctx, http.MethodPost, "/v1/events", cloudEvent("a", "")), http.StatusUnprocessableEntity).Reason).To(Equal("NotAnObject"))
		many := "[" + strings.TrimSuffix(strings.Repeat(cloudEvent("a", "")+",", 101), ",") + "]"
		Expect(refusal(on.call(ctx, http.MethodPost, "/v1/events", many), http.StatusRequestEntityTooLarge).Errors[0].Detail).To(ContainSubstring("100"))
		Expect(listDeliveries(ctx, namespace)).To(BeEmpty())
	})
})
