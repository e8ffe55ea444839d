// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

var _ = Describe("reading from the REST API", func() {
	It("lists an empty namespace as an empty array", func(ctx SpecContext) {
		token := newAccount(ctx, newNamespace(ctx), "viewer", viewer)
		Expect(decode[rest.WebhookList](clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks", nil), http.StatusOK)).
			To(Equal(rest.WebhookList{Data: []rest.Webhook{}}))
	})

	DescribeTable("refuses an invalid page",
		func(ctx SpecContext, query, field string) {
			token := newAccount(ctx, newNamespace(ctx), "viewer", viewer)
			problem := decodeProblem(clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks?"+query, nil), http.StatusUnprocessableEntity)
			Expect(problem.Errors).To(HaveLen(1))
			Expect(problem.Errors[0].Field).To(Equal(field))
			Expect(problem.Detail).To(HavePrefix(field + ": "))
		},
		Entry("of nothing", "limit=0", "query.limit"),
		Entry("of too much", "limit=101", "query.limit"),
		Entry("of a number that is none", "limit=ten", "query.limit"),
		Entry("after a cursor from elsewhere", "cursor=Zm9vYmFyYmF6", "query.cursor"),
		Entry("by a parameter that does not exist", "size=3", "query.size"),
		Entry("of a namespace that cannot be", "namespace=No%0a", "query.namespace"),
	)

	It("shows the catalogue to any authenticated caller", func(ctx SpecContext) {
		token := newAccount(ctx, newNamespace(ctx), "nobody")
		list := decode[rest.EventTypeList](clientFor(token).call(ctx, http.MethodGet, "/v1/event-types", nil), http.StatusOK)
		var types []string
		for _, one := range list.Data {
			types = append(types, one.Type)
		}
		Expect(types).To(Equal([]string{"context.confirmed", "context.created", "context.failed", "verification.completed"}))
	})
})

var _ = Describe("an empty id in a path", func() {
	It("is a 404 that explains itself in every operation, and no redirect", func(ctx SpecContext) {
		text, err := os.ReadFile("../docs/reference/openapi.json")
		Expect(err).NotTo(HaveOccurred())
		var document struct {
			Paths map[string]map[string]json.RawMessage `json:"paths"`
		}
		Expect(json.Unmarshal(text, &document)).To(Succeed())
		token := newAccount(ctx, newNamespace(ctx), "editor", editor, deliveryViewer)
		straight := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		tried := 0
		for path, operations := range document.Paths {
			for method := range operations {
				if !strings.Contains(path, "{") {
					continue
				}
				tried++
				empty := regexp.MustCompile(`{[^}]*}`).ReplaceAllString(path, "")
				request, err := http.NewRequestWithContext(ctx, strings.ToUpper(method), sharedGateway.URL+empty, strings.NewReader("{}"))
				Expect(err).NotTo(HaveOccurred())
				request.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
				answer, err := straight.Do(request)
				Expect(err).NotTo(HaveOccurred())
				var problem rest.Problem
				Expect(json.NewDecoder(answer.Body).Decode(&problem)).To(Succeed(), "%s %s: %s", method, empty, answer.Status)
				Expect(answer.Body.Close()).To(Succeed())
				Expect([]any{answer.StatusCode, answer.Header.Get("Content-Type"), problem.Reason}).
					To(Equal([]any{http.StatusNotFound, "application/problem+json", "NotFound"}), "%s %s", method, empty)
				Expect(problem.Detail).To(ContainSubstring("an id is missing"), "%s %s", method, empty)
			}
		}
		Expect(tried).To(BeNumerically(">=", 12))
	})
})
