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
	mediaStructured = "application/cloudevents+json"
	mediaBatch      = "application/cloudevents-batch+json"
)

// cloudEvent is one in the JSON format; more is members to add.
func cloudEvent(id, more string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/orders","type":%q%s}`, id, eventType, more)
}

var _ = Describe("publishing CloudEvents", func() {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var (
		namespace string
		api       apiClient
	)
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		api = clientFor(newAccount(ctx, namespace, "publisher", publisher, viewer))
		createSuspendedWebhooks(ctx, api, namespace, "one")
	})

	It("takes the same event in structured and in binary mode", func(ctx SpecContext) {
		all := `,"time":"2024-01-15T10:30:00.5Z","subject":"s","dataschema":"https://example.com/s","datacontenttype":"application/json; charset=UTF-8","traceparent":"` + trace + `","flag":true,"n":-7,"unset":null,"data":` + eventData("")
		got := publishEvent(ctx, api.withHeader("Content-Type", mediaStructured+"; charset=utf-8"), cloudEvent("e ü", all))
		Expect(got.EventID).To(Equal(identity.CloudEventID("/orders", "e ü")))
		spec := listDeliveries(ctx, namespace)[0].Spec
		Expect(spec.Payload).To(Equal(`{"event":"context.created","timestamp":"2024-01-15T10:30:00.500Z","data":` + eventData("") + `}`))
		Expect(spec.TraceParent).To(Equal(trace))

		binary := api.withHeader("Ce-Specversion", "1.0").withHeader("Ce-Id", "e%20%C3%BC").withHeader("Ce-Source", "/orders").withHeader("Ce-Type", eventType).
			withHeader("Ce-Time", "2024-01-15T10:30:00.5Z").withHeader("Ce-Subject", "s").withHeader("Content-Type", "application/json")
		Expect(publishEvent(ctx, binary, eventData("")).EventID).To(Equal(got.EventID))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(1))
		problem := decodeProblem(binary.call(ctx, http.MethodPost, "/v1/events", eventData(`,"n":1`)), http.StatusConflict)
		Expect(problem.Reason).To(Equal("EventIDTaken"))
	})

	It("get the time of acceptance as timestamp if they have none, and keep it when repeated", func(ctx SpecContext) {
		first := publishEvent(ctx, api.withHeader("Content-Type", mediaStructured), cloudEvent("e1", `,"data":`+eventData("")))
		Expect(publishEvent(ctx, api.withHeader("Content-Type", mediaStructured), cloudEvent("e1", `,"data":`+eventData("")))).To(Equal(first))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(1))
	})

	DescribeTable("refuses an event that cannot be delivered, and stores nothing",
		func(ctx SpecContext, body string, status int, field, reason string) {
			got := api.withHeader("Content-Type", mediaStructured).call(ctx, http.MethodPost, "/v1/events", body)
			problem := decodeProblem(got, status)
			Expect(problem.Errors).To(HaveLen(1), got.body)
			Expect([]string{problem.Errors[0].Field, problem.Reason}).To(Equal([]string{field, reason}), got.body)
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

	DescribeTable("refuses invalid headers in binary mode",
		func(ctx SpecContext, name, value, field, reason string) {
			binary := api.withHeader("Ce-Specversion", "1.0").withHeader("Ce-Id", "x").withHeader("Ce-Source", "/orders").withHeader("Ce-Type", eventType).withHeader(name, value)
			if value == "" {
				delete(binary.header, name)
			}
			got := binary.call(ctx, http.MethodPost, "/v1/events", eventData(""))
			problem := decodeProblem(got, http.StatusUnprocessableEntity)
			Expect([]string{problem.Errors[0].Field, problem.Reason}).To(Equal([]string{field, reason}), got.body)
			Expect(listDeliveries(ctx, namespace)).To(BeEmpty())
		},
		Entry("no version", "Ce-Specversion", "", "header.Ce-Specversion", "MissingMember"),
		Entry("no type", "Ce-Type", "", "header.Ce-Type", "MissingMember"),
		Entry("a broken escape", "Ce-Id", "100%", "header.Ce-Id", "FieldInvalid"),
		Entry("a time that is none", "Ce-Time", "noon", "header.Ce-Time", "InvalidTimestamp"),
		Entry("data that is text", "Content-Type", "text/plain", "header.Content-Type", "FieldInvalid"),
		Entry("a key of its own", "Idempotency-Key", "x", "header.Idempotency-Key", "InvalidEventID"),
	)

	It("answers for each event of a batch separately", func(ctx SpecContext) {
		api := api.withHeader("Content-Type", mediaBatch)
		good := `,"data":` + eventData("")
		all := decode[rest.BatchPublished](api.call(ctx, http.MethodPost, "/v1/events", "["+cloudEvent("a", good)+","+cloudEvent("b", good)+","+cloudEvent("a", good)+"]"), http.StatusAccepted)
		Expect(all.Results).To(HaveLen(3))
		Expect(all.Results[0].Published).To(Equal(all.Results[2].Published), "the same event")
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(2))

		mixed := decode[rest.BatchPublished](api.call(ctx, http.MethodPost, "/v1/events",
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
		Expect(decode[rest.BatchPublished](api.call(ctx, http.MethodPost, "/v1/events", "[]"), http.StatusAccepted).Results).To(BeEmpty())
	})

	It("refuses a malformed batch as a whole", func(ctx SpecContext) {
		api := api.withHeader("Content-Type", mediaBatch)
		Expect(decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", "["+cloudEvent("a", "")+","), http.StatusBadRequest).Reason).To(Equal("InvalidJSON"))
		Expect(decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", cloudEvent("a", "")), http.StatusUnprocessableEntity).Reason).To(Equal("NotAnObject"))
		many := "[" + strings.TrimSuffix(strings.Repeat(cloudEvent("a", "")+",", 101), ",") + "]"
		Expect(decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", many), http.StatusRequestEntityTooLarge).Errors[0].Detail).To(ContainSubstring("100"))
		Expect(listDeliveries(ctx, namespace)).To(BeEmpty())
	})
})
