// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

var _ = Describe("an event that is costly to check", func() {
	// A million zeros that the exponent takes back: the value is 1.
	at := func(digits int, exponent string) string { return "1" + strings.Repeat("0", digits) + "e-" + exponent }
	confirmed := func(id, number string) string {
		return `{"specversion":"1.0","id":"` + id + `","source":"/orders","type":"context.confirmed","data":{"context_id":"c","agent_id":"a","transaction_hash":"0x1",` +
			`"context_hash":"0x2","status":"confirmed","block_number":1,"confirmations":1,"confirmation_time_seconds":` + number + `}}`
	}

	It("is refused alone, and the gateway serves other events", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		own, err := cluster.StartGateway(ctx, gatewayOptions())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(own.Kill)
		api := apiClient{base: own.URL, token: newAccount(ctx, namespace, "publisher", publisher, viewer)}.withHeader("Content-Type", "application/cloudevents-batch+json")
		began := time.Now()
		for _, number := range []string{at(1_000_001, "1000001"), at(1, "1000000"), "1e-1000000", "1E99999999999999999999"} {
			got := decode[rest.BatchPublished](api.call(ctx, http.MethodPost, "/v1/events", "["+confirmed("costly", number)+","+confirmed("good", "1")+"]"), http.StatusMultiStatus)
			Expect(got.Results).To(HaveLen(2))
			Expect(got.Results[0].Status).To(Equal(http.StatusUnprocessableEntity), "%+v", got.Results[0].Problem)
			Expect(got.Results[0].Problem.Errors[0].Field).To(HavePrefix(`data["confirmation_time_`))
			Expect(got.Results[0].Problem.Reason).To(BeElementOf("NumberTooLong", "NumberNotExact"))
			Expect(got.Results[1].Published).NotTo(BeNil(), "%+v", got.Results[1].Problem)
		}
		single := api.withHeader("Content-Type", "application/cloudevents+json")
		Expect(decodeProblem(single.call(ctx, http.MethodPost, "/v1/events", confirmed("costly", at(900_000, "900000"))), http.StatusUnprocessableEntity).Reason).To(Equal("NumberTooLong"))
		Expect(time.Since(began)).To(BeNumerically("<", eventualTimeout))
	}, SpecTimeout(time.Minute))

	It("is refused if its schema is too costly, whatever the reason", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		api := clientFor(newAccount(ctx, namespace, "publisher", publisher, viewer))
		eventType := &v1alpha1.EventType{
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
			Spec: v1alpha1.EventTypeSpec{
				Schema: `{"anyOf":[{"properties":{"a":{"$ref":"#"}},"not":{}},{"properties":{"a":{"$ref":"#"}},"not":{}},{"maxProperties":0}]}`,
			},
		}
		Expect(cluster.Client.Create(ctx, eventType)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(client.IgnoreNotFound(cluster.Client.Delete(ctx, eventType))).To(Succeed())
		})
		publishing := func(levels int) answer {
			return api.call(ctx, http.MethodPost, "/v1/events", `{"event":"`+namespace+`","data":`+strings.Repeat(`{"a":`, levels)+`{}`+strings.Repeat("}", levels)+`}`)
		}
		Eventually(ctx, func() int { return publishing(0).status }).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(http.StatusAccepted))
		Expect(decodeProblem(publishing(3), http.StatusUnprocessableEntity).Reason).To(Equal("SchemaViolated"))
		problem := decodeProblem(publishing(60), http.StatusUnprocessableEntity)
		Expect(problem.Reason).To(Equal("SchemaTooCostly"))
		Expect(problem.Errors[0].Field).To(Equal("data"))
	}, SpecTimeout(time.Minute))
})
