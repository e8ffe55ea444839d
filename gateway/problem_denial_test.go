// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/admission"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// installPolicy lets an admission webhook look at what is written in a namespace.
func installPolicy(ctx context.Context, namespace string, resources ...string) *admission.ReviewServer {
	GinkgoHelper()
	server := admission.Start()
	DeferCleanup(server.Close)
	remove, err := server.Install(ctx, cluster.Client, admission.Rule{Namespace: namespace, Resources: resources, Seconds: 30})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(remove)
	return server
}

// policyAnswers are what a policy can say, and what callers are told then.
var policyAnswers = []struct {
	verdict admission.Verdict
	status  int
	reason  string
}{
	{admission.Deny(400, "not here"), 400, "PolicyDenied"},
	{admission.Deny(401, "not here"), 422, "PolicyDenied"},
	{admission.Deny(403, "not here"), 403, "PolicyDenied"},
	{admission.Deny(404, "not here"), 422, "PolicyDenied"},
	{admission.Deny(409, "not here"), 422, "PolicyDenied"},
	{admission.Deny(413, "not here"), 413, "PolicyDenied"},
	{admission.Deny(422, "not here"), 422, "PolicyDenied"},
	{admission.Deny(429, "not here"), 429, "TooManyRequests"},
	{admission.Deny(500, "not here"), 503, "Unavailable"},
	{admission.Deny(503, "not here"), 503, "Unavailable"},
	{admission.Verdict{Broken: 502}, 503, "Unavailable"},
	{admission.Verdict{HangUp: true}, 503, "Unavailable"},
}

var _ = Describe("a policy of the cluster that refuses a write", func() {
	It("is quoted to the caller of every operation, whatever the policy's code", func(ctx SpecContext) {
		t := newTenant(ctx)
		caller := clientFor(newAccount(ctx, t.namespace, "caller", editor, publisher))
		path := "/v1/webhooks/" + t.webhook
		policy := installPolicy(ctx, t.namespace, "webhooks", "secrets", "webhookdeliveries")
		for _, write := range []struct {
			what      string
			resource  string
			operation admissionv1.Operation
			call      func() answer
		}{
			{"create a webhook", "webhooks", "CREATE", func() answer { return caller.call(ctx, http.MethodPost, "/v1/webhooks", anotherWebhook) }},
			{"create its secret", "secrets", "CREATE", func() answer { return caller.call(ctx, http.MethodPost, "/v1/webhooks", anotherWebhook) }},
			{"change a webhook", "webhooks", "UPDATE", func() answer { return putWebhook(ctx, caller, t.webhook, newDescription) }},
			{"suspend a webhook", "webhooks", "UPDATE", func() answer { return postAction(ctx, caller, path+"/suspend") }},
			{"enable a webhook", "webhooks", "UPDATE", func() answer { return postAction(ctx, caller, path+"/enable") }},
			{"rotate a secret", "secrets", "UPDATE", func() answer { return postAction(ctx, caller, path+"/rotate-secret") }},
			{"retry a delivery", "webhookdeliveries", "UPDATE", func() answer { return postAction(ctx, caller, "/v1/deliveries/"+t.delivery+"/retry") }},
			{"send a test event", "webhookdeliveries", "CREATE", func() answer { return caller.call(ctx, http.MethodPost, path+"/test", testOfOneType) }},
			{"publish", "webhookdeliveries", "CREATE", func() answer {
				return caller.withHeader("Prefer", "respond-async").call(ctx, http.MethodPost, "/v1/events", eventBody(""))
			}},
			{"delete a webhook", "webhooks", "DELETE", func() answer { return caller.call(ctx, http.MethodDelete, path, nil) }},
		} {
			for _, tt := range policyAnswers {
				policy.Decide(func(review admission.Review) admission.Verdict {
					if review.Resource != write.resource || review.Operation != write.operation {
						return admission.Verdict{}
					}
					return tt.verdict
				})
				about := fmt.Sprintf("%s: %+v", write.what, tt.verdict)
				problem := decodeProblem(write.call(), tt.status)
				words := `denied the request: not here`
				if tt.verdict.Code == 0 {
					words = `failed calling webhook "` + policy.Name() + `"`
				}
				Expect(problem.Reason).To(Equal(tt.reason), about)
				Expect(problem.Detail).To(ContainSubstring(words), about)
				Expect(problem.Detail).NotTo(ContainSubstring("role"), about)
			}
		}
		policy.Allow()
		Expect(caller.call(ctx, http.MethodDelete, path, nil).status).To(Equal(http.StatusNoContent))
	}, SpecTimeout(3*time.Minute))

	It("costs one attempt of an event that could not be stored, however often the event is repeated", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		api := apiClient{base: startGateway(ctx, gatewayOptions(noRecordFlags()...)).URL, token: newAccount(ctx, namespace, "publisher", publisher, viewer, deliveryViewer)}
		createActiveWebhook(ctx, namespace, "well")
		createActiveWebhook(ctx, namespace, "down", withRetries(5*time.Second, time.Minute))
		awaitWebhooks(ctx, api, 2)
		warmUp(ctx, api)
		endpoint.Script(specPath(namespace, "down"), receiver.Step{Status: 500})
		policy := installPolicy(ctx, namespace, "webhookdeliveries")
		n := 0
		for _, verdict := range []admission.Verdict{admission.Deny(422, "not here"), admission.Deny(403, "not here"), admission.Deny(503, "not here"), {HangUp: true}} {
			policy.Answer(verdict)
			for _, id := range []string{"", fmt.Sprintf("given-%d", n)} {
				n++
				problem := rest.Problem{EventID: id}
				for range 3 {
					repeated := api
					if problem.EventID != "" {
						repeated = api.withHeader("Idempotency-Key", problem.EventID)
					}
					got := repeated.call(ctx, http.MethodPost, "/v1/events", eventBody(""))
					problem = decodeProblem(got, map[int32]int{422: 422, 403: 403, 503: 503, 0: 503}[verdict.Code])
					Expect(problem.Detail).To(ContainSubstring(policy.Name()), "the policy's words")
					Expect(problem.EventID).To(Or(Equal(id), HavePrefix("evt_")))
					Expect(problem.Deliveries).To(HaveLen(1), "what was delivered is told")
				}
				Expect(attemptNumbers(specPath(namespace, "down"), problem.EventID)).To(HaveLen(1), "%+v", verdict)
				Expect(attemptNumbers(specPath(namespace, "well"), problem.EventID)).To(HaveLen(1), "%+v", verdict)
				policy.Allow()
				Expect(deliveryStates(publishEvent(ctx, api.withHeader("Idempotency-Key", problem.EventID), eventBody("")))).To(ConsistOf(rest.DeliverySucceeded, rest.DeliveryRetrying))
				Expect(awaitDelivery(ctx, namespace, problem.EventID, v1alpha1.DeliveryRetrying).Status.Attempts).To(Equal(int32(1)))
				Expect(attemptNumbers(specPath(namespace, "down"), problem.EventID)).To(HaveLen(1), "%+v", verdict)
				endpoint.Script(specPath(namespace, "down"), receiver.Step{Status: 200}) // keeps its circuit closed
				Eventually(ctx, func() []string { return deliveryStates(publishEvent(ctx, api, eventBody(""))) }).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveEach(rest.DeliverySucceeded))
				endpoint.Script(specPath(namespace, "down"), receiver.Step{Status: 500})
				policy.Answer(verdict)
			}
		}
	}, SpecTimeout(3*time.Minute))

	It("makes publishing slower and stops nothing, if it takes longer than a write's first time limit", func(ctx SpecContext) {
		const takes, n = 2500 * time.Millisecond, 20
		namespace := newNamespace(ctx)
		api := apiClient{base: startGateway(ctx, gatewayOptions()).URL, token: newAccount(ctx, namespace, "publisher", publisher, viewer, deliveryViewer)}
		webhook := createActiveWebhook(ctx, namespace, "taker")
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		before := endpoint.Counts(specPath(namespace, "taker")).Accepted
		policy := installPolicy(ctx, namespace, "webhookdeliveries", "webhookdeliveries/status", "webhooks/status")
		policy.Answer(admission.Verdict{After: takes})
		began := time.Now()
		var refused, slowest atomic.Int64
		inParallel(ctx, n, func(i int) {
			asked := time.Now()
			_, tries := publishUntilAccepted(ctx, api.withHeader("Prefer", "respond-async"), numberedEvent(i))
			refused.Add(int64(tries - 1))
			slowest.Store(max(slowest.Load(), int64(time.Since(asked))))
		})
		reportFigure("a policy takes %s: of %d events %d times refused, the slowest took %s", takes, n, refused.Load(), time.Duration(slowest.Load()).Round(100*time.Millisecond))
		Expect(refused.Load()).To(BeZero())
		byHand := &v1alpha1.WebhookDelivery{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "by-hand"},
			Spec: v1alpha1.WebhookDeliverySpec{
				WebhookRef: v1alpha1.WebhookReference{Name: webhook.Name}, EventID: "evt_by_hand", EventType: eventType,
				Payload: fmt.Sprintf(`{"event":%q,"timestamp":"2024-01-15T10:30:00Z","data":{}}`, eventType),
			},
		}
		Expect(cluster.Client.Create(ctx, byHand)).To(Succeed())
		Expect(endpoint.Wait(ctx, specPath(namespace, "taker"), func(c receiver.Counts) bool { return c.Accepted == before+n+1 })).To(Succeed())
		awaitDelivery(ctx, namespace, byHand.Spec.EventID, v1alpha1.DeliverySucceeded)
		reportFigure("and all were delivered and written after %s", time.Since(began).Round(100*time.Millisecond))
	}, SpecTimeout(3*time.Minute))

	It("is quoted in the status of a webhook that has no secret because of it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		quota := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "few"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"secrets": resource.MustParse("0")}},
		}
		Expect(cluster.Client.Create(ctx, quota)).To(Succeed())
		Eventually(ctx, func() corev1.ResourceList {
			Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(quota), quota)).To(Succeed())
			return quota.Status.Hard
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).ShouldNot(BeEmpty())
		problem := decodeProblem(clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace)), http.StatusForbidden)
		Expect([]string{problem.Reason, problem.Detail}).To(HaveExactElements("QuotaExceeded", And(ContainSubstring("exceeded quota: few"), Not(ContainSubstring("role")))))

		webhook := createSuspended(ctx, namespace, "applied")
		awaitWebhooks(ctx, clientFor(token), 1)
		shown := func() *rest.WebhookProblem {
			return decode[rest.Webhook](clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks/"+identity.WebhookID(namespace, webhook.Name), nil), http.StatusOK).Problem
		}
		Eventually(ctx, shown).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(And(Not(BeNil()), HaveField("Reason", "SecretRefused"), HaveField("Message", ContainSubstring("exceeded quota: few"))))
		Expect(cluster.Client.Delete(ctx, quota)).To(Succeed())
		Eventually(ctx, shown).WithTimeout(time.Minute).WithPolling(pollEvery).Should(BeNil())
	}, SpecTimeout(2*time.Minute))

	It("is quoted by a rotation of an immutable Secret", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		secret := readSecret(ctx, namespace, webhook.Name)
		secret.Immutable = new(true)
		Expect(cluster.Client.Update(ctx, secret)).To(Succeed())
		problem := decodeProblem(postAction(ctx, clientFor(token), "/v1/webhooks/"+webhook.WebhookID+"/rotate-secret"), http.StatusUnprocessableEntity)
		Expect([]string{problem.Reason, problem.Detail}).To(HaveExactElements("SecretRefused", ContainSubstring("field is immutable")))
	})
})
