// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// forgedCursor is a cursor of a list with a sum that is right and a position of the
// caller's making.
func forgedCursor(list, position string) string {
	sum := sha256.Sum256([]byte(list + "\x00" + position))
	return base64.RawURLEncoding.EncodeToString(append(sum[:8], position...))
}

var _ = Describe("a request that can be read in more than one way", func() {
	var (
		namespace string
		api       apiClient
	)
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		api = clientFor(newAccount(ctx, namespace, "owner", editor, publisher, deliveryViewer))
	})
	event := `{"event":"` + eventType + `","data":` + eventData("") + `}`
	one := func(problem rest.Problem) string {
		GinkgoHelper()
		Expect(problem.Errors).To(HaveLen(1))
		return problem.Errors[0].Field + ": " + problem.Errors[0].Detail
	}

	It("does not include one with a forged cursor", func(ctx SpecContext) {
		webhook := createWebhook(ctx, api.token, webhookBody(namespace))
		for list, path := range map[string]string{
			"webhooks/" + namespace:                                   "/v1/webhooks?cursor=",
			"deliveries/" + namespace + "/" + webhook.WebhookID + "/": "/v1/webhooks/" + webhook.WebhookID + "/deliveries?cursor=",
		} {
			for _, position := range []string{"", "{x", "[]", `{"n":[]}`} {
				got := api.call(ctx, http.MethodGet, path+forgedCursor(list, position), nil)
				Expect(one(decodeProblem(got, http.StatusUnprocessableEntity))).To(HavePrefix("query.cursor: is no next_cursor"), "%s %s", list, position)
			}
		}
	})

	DescribeTable("is refused for its query", func(ctx SpecContext, query, problem string) {
		Expect(one(decodeProblem(api.call(ctx, http.MethodPost, "/v1/events?"+query, event), http.StatusUnprocessableEntity))).To(HavePrefix(problem))
		Expect(listDeliveries(ctx, namespace)).To(BeEmpty())
	},
		Entry("with a broken escape", "namespace=elsewhere%zz", "query: has a % without two hexadecimal digits"),
		Entry("with a parameter twice", "namespace=elsewhere&namespace=default", "query.namespace: is there more than once"),
	)

	It("is refused with a content coding", func(ctx SpecContext) {
		var packed bytes.Buffer
		writer := gzip.NewWriter(&packed)
		_, err := writer.Write([]byte(event))
		Expect(err).NotTo(HaveOccurred())
		Expect(writer.Close()).To(Succeed())
		for _, path := range []string{"/v1/events", "/v1/webhooks"} {
			got := api.withHeader("Content-Encoding", "gzip").call(ctx, http.MethodPost, path, packed.String())
			Expect(one(decodeProblem(got, http.StatusUnsupportedMediaType))).To(HavePrefix("header.Content-Encoding: "))
			Expect(got.header.Get("Accept-Encoding")).To(Equal("identity")) // RFC 9110, section 15.5.16
		}
		decode[rest.Published](api.withHeader("Content-Encoding", "identity").call(ctx, http.MethodPost, "/v1/events", event), http.StatusAccepted)
	})

	DescribeTable("is refused with a header twice", func(ctx SpecContext, name string, values []string, status int, problem string) {
		api := api.withHeader(name, "")
		api.header[name] = values
		Expect(decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", event), status).Detail).To(ContainSubstring(problem))
	},
		Entry("that says what the body is", "Content-Type", []string{"application/json", "text/plain"}, http.StatusUnsupportedMediaType, "header.Content-Type: is there more than once"),
	)

	It("is refused with two tokens", func(ctx SpecContext) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, api.base+"/v1/webhooks", nil)
		Expect(err).NotTo(HaveOccurred())
		request.Header["Authorization"] = []string{"Bearer " + api.token, "Bearer other"}
		response, err := http.DefaultClient.Do(request)
		Expect(err).NotTo(HaveOccurred())
		Expect(response.Body.Close()).To(Succeed())
		Expect(response.StatusCode).To(Equal(http.StatusUnauthorized))
	})

	It("is refused with two media types of a CloudEvent's data, always", func(ctx SpecContext) {
		binary := api.withHeader("Ce-Specversion", "1.0").withHeader("Ce-Id", "x").withHeader("Ce-Source", "/orders").withHeader("Ce-Type", eventType).
			withHeader("Content-Type", "application/json").withHeader("Ce-Datacontenttype", "application/json")
		for range 20 {
			problem := decodeProblem(binary.call(ctx, http.MethodPost, "/v1/events", eventData("")), http.StatusUnprocessableEntity)
			Expect(one(problem)).To(HavePrefix("header.Ce-Datacontenttype: "))
		}
	})
})

// deeplyNested is JSON that is deeper than any decoder follows.
func deeplyNested() string { return strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) }

var _ = Describe("an event that is deeper than decoders follow", func() {
	It("is refused as too deep, not as invalid JSON", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		api := clientFor(newAccount(ctx, namespace, "publisher", publisher))
		for kind, body := range map[string]string{
			"application/json": `{"event":"` + eventType + `","data":{"a":` + deeplyNested() + `}}`,
			mediaStructured:    cloudEvent("x", `,"data":{"a":`+deeplyNested()+`}`),
		} {
			problem := decodeProblem(api.withHeader("Content-Type", kind).call(context.WithoutCancel(ctx), http.MethodPost, "/v1/events", body), http.StatusUnprocessableEntity)
			Expect(problem.Reason).To(Equal("TooDeep"), kind)
		}
	})
})
