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
		on        api
	)
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		on = as(account(ctx, namespace, "owner", editor, publisher, deliveryViewer))
	})
	event := `{"event":"` + eventType + `","data":` + eventData("") + `}`
	one := func(said rest.Problem) string {
		GinkgoHelper()
		Expect(said.Errors).To(HaveLen(1))
		return said.Errors[0].Field + ": " + said.Errors[0].Detail
	}

	It("is not one with a cursor of the caller's making", func(ctx SpecContext) {
		webhook := created(ctx, on.token, hookFor(namespace))
		for list, path := range map[string]string{
			"webhooks/" + namespace:                                   "/v1/webhooks?cursor=",
			"deliveries/" + namespace + "/" + webhook.WebhookID + "/": "/v1/webhooks/" + webhook.WebhookID + "/deliveries?cursor=",
		} {
			for _, position := range []string{"", "{x", "[]", `{"n":[]}`} {
				got := on.call(ctx, http.MethodGet, path+forgedCursor(list, position), nil)
				Expect(one(refusal(got, http.StatusUnprocessableEntity))).To(HavePrefix("query.cursor: is no next_cursor"), "%s %s", list, position)
			}
		}
	})

	DescribeTable("is refused for its query", func(ctx SpecContext, query, said string) {
		Expect(one(refusal(on.call(ctx, http.MethodPost, "/v1/events?"+query, event), http.StatusUnprocessableEntity))).To(HavePrefix(said))
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
			got := on.with("Content-Encoding", "gzip").call(ctx, http.MethodPost, path, packed.String())
			Expect(one(refusal(got, http.StatusUnsupportedMediaType))).To(HavePrefix("header.Content-Encoding: "))
			Expect(got.header.Get("Accept-Encoding")).To(Equal("identity")) // RFC 9110, section 15.5.16
		}
		decode[rest.Published](on.with("Content-Encoding", "identity").call(ctx, http.MethodPost, "/v1/events", event), http.StatusAccepted)
	})

	DescribeTable("is refused with a header twice", func(ctx SpecContext, name string, values []string, status int, said string) {
		on := on.with(name, "")
		on.header[name] = values
		Expect(refusal(on.call(ctx, http.MethodPost, "/v1/events", event), status).Detail).To(ContainSubstring(said))
	},
		Entry("that says what the body is", "Content-Type", []string{"application/json", "text/plain"}, http.StatusUnsupportedMediaType, "header.Content-Type: is there more than once"),
	)

	It("is refused with two tokens", func(ctx SpecContext) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, on.base+"/v1/webhooks", nil)
		Expect(err).NotTo(HaveOccurred())
		request.Header["Authorization"] = []string{"Bearer " + on.token, "Bearer other"}
		response, err := http.DefaultClient.Do(request)
		Expect(err).NotTo(HaveOccurred())
		Expect(response.Body.Close()).To(Succeed())
		Expect(response.StatusCode).To(Equal(http.StatusUnauthorized))
	})

	It("is refused with two media types of a CloudEvent's data, always", func(ctx SpecContext) {
		binary := on.with("Ce-Specversion", "1.0").with("Ce-Id", "x").with("Ce-Source", "/orders").with("Ce-Type", eventType).
			with("Content-Type", "application/json").with("Ce-Datacontenttype", "application/json")
		for range 20 {
			said := refusal(binary.call(ctx, http.MethodPost, "/v1/events", eventData("")), http.StatusUnprocessableEntity)
			Expect(one(said)).To(HavePrefix("header.Ce-Datacontenttype: "))
		}
	})
})

// deep is JSON that is deeper than any decoder follows.
func deep() string { return strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) }

var _ = Describe("an event that is deeper than decoders follow", func() {
	It("is called too deep, not no JSON", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		on := as(account(ctx, namespace, "publisher", publisher))
		for kind, body := range map[string]string{
			"application/json": `{"event":"` + eventType + `","data":{"a":` + deep() + `}}`,
			structured:         cloudEvent("x", `,"data":{"a":`+deep()+`}`),
		} {
			said := refusal(on.with("Content-Type", kind).call(context.WithoutCancel(ctx), http.MethodPost, "/v1/events", body), http.StatusUnprocessableEntity)
			Expect(said.Reason).To(Equal("TooDeep"), kind)
		}
	})
})
