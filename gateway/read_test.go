// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

var _ = Describe("reading", func() {
	It("lists an empty namespace", func(ctx SpecContext) {
		token := account(ctx, newNamespace(ctx), "viewer", viewer)
		Expect(decode[rest.WebhookList](as(token).call(ctx, http.MethodGet, "/v1/webhooks", nil), http.StatusOK)).
			To(Equal(rest.WebhookList{Data: []rest.Webhook{}}))
	})

	DescribeTable("refuses a page that cannot be",
		func(ctx SpecContext, query, field string) {
			token := account(ctx, newNamespace(ctx), "viewer", viewer)
			said := refusal(as(token).call(ctx, http.MethodGet, "/v1/webhooks?"+query, nil), http.StatusUnprocessableEntity)
			Expect(said.Errors).To(HaveLen(1))
			Expect(said.Errors[0].Field).To(Equal(field))
			Expect(said.Detail).To(HavePrefix(field + ": "))
		},
		Entry("of nothing", "limit=0", "query.limit"),
		Entry("of too much", "limit=101", "query.limit"),
		Entry("of a number that is none", "limit=ten", "query.limit"),
		Entry("after a cursor from elsewhere", "cursor=Zm9vYmFyYmF6", "query.cursor"),
		Entry("by a parameter that does not exist", "size=3", "query.size"),
		Entry("of a namespace that cannot be", "namespace=No%0a", "query.namespace"),
	)

	It("lets any token see the catalogue", func(ctx SpecContext) {
		token := account(ctx, newNamespace(ctx), "nobody")
		list := decode[rest.EventTypeList](as(token).call(ctx, http.MethodGet, "/v1/event-types", nil), http.StatusOK)
		var types []string
		for _, one := range list.Data {
			types = append(types, one.Type)
		}
		Expect(types).To(Equal([]string{"context.confirmed", "context.created", "context.failed", "verification.completed"}))
	})
})
