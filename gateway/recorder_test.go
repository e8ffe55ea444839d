// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/admission"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// sumUnrecorded sums up the unrecorded successes that the records of a namespace carry.
func sumUnrecorded(deliveries []v1alpha1.WebhookDelivery) (n int) {
	GinkgoHelper()
	for _, delivery := range deliveries {
		if text, ok := delivery.Annotations[v1alpha1.UnrecordedAnnotation]; ok {
			told, err := strconv.Atoi(text)
			Expect(err).NotTo(HaveOccurred())
			n += told
		}
	}
	return n
}

var _ = Describe("records of immediate successes", func() {
	var namespace, token string
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		token = newAccount(ctx, namespace, "publisher", publisher, viewer, deliveryViewer)
	})
	recording := func(policy v1alpha1.RecordPolicy) func(*v1alpha1.WebhookSpec) {
		return func(spec *v1alpha1.WebhookSpec) { spec.Retention = &v1alpha1.Retention{Record: policy} }
	}
	start := func(ctx context.Context, args ...string) apiClient {
		GinkgoHelper()
		return apiClient{base: startGateway(ctx, gatewayOptions(args...)).URL, token: token}
	}

	It("are complete at a low rate, as finished deliveries", func(ctx SpecContext) {
		api := start(ctx)
		createActiveWebhook(ctx, namespace, "one")
		awaitWebhooks(ctx, api, 1)
		n := warmUp(ctx, api)
		for i := range 10 {
			Expect(deliveryStates(publishEvent(ctx, api, numberedEvent(i)))).To(Equal([]string{rest.DeliverySucceeded}))
		}
		Eventually(ctx, func(g Gomega) {
			all := listDeliveries(ctx, namespace)
			g.Expect(all).To(HaveLen(n + 10))
			for _, delivery := range all {
				g.Expect(delivery.Status.State).To(Equal(v1alpha1.DeliverySucceeded))
				g.Expect(delivery.Status.AttemptLog).To(HaveLen(1))
			}
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Succeed())
		object := findDelivery(ctx, namespace, "e3")
		Expect(object.Spec.FirstAttempt).To(Equal(&object.Status.AttemptLog[0]))
		Expect(endpoint.Counts(specPath(namespace, "one")).Duplicates).To(BeZero())
		got := decode[rest.Delivery](api.call(ctx, http.MethodGet, "/v1/deliveries/"+publishEvent(ctx, api, numberedEvent(3)).Deliveries[0].DeliveryID, nil), http.StatusOK)
		Expect([]any{got.Status, got.Attempts, *got.ResponseStatus}).To(Equal([]any{rest.DeliverySucceeded, 1, 200}))
	})

	It("are a sample under load, and carry the number of unrecorded successes", func(ctx SpecContext) {
		api := start(ctx, "--record-rate=1", "--record-burst=5")
		webhook := createActiveWebhook(ctx, namespace, "one")
		awaitWebhooks(ctx, api, 1)
		n := warmUp(ctx, api)
		for i := range 50 {
			publishEvent(ctx, api, numberedEvent(i))
		}
		Eventually(ctx, func() int {
			all := listDeliveries(ctx, namespace)
			return len(all) + sumUnrecorded(all)
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(n+50), "the last one is recorded when there is room")
		Expect(len(listDeliveries(ctx, namespace))).To(BeNumerically("<", 30))
		Eventually(ctx, func() int64 {
			Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(Succeed())
			return webhook.Status.DeliveriesUnrecorded + webhook.Status.DeliveriesSucceeded
		}).WithTimeout(2*time.Minute).WithPolling(10*pollEvery).Should(BeEquivalentTo(n+50), "kubectl describe webhook shows it")
		Expect(webhook.Status.DeliveriesUnrecorded).To(BeNumerically(">", 20))
	})

	It("follow the record policy of the webhook: Never and Always", func(ctx SpecContext) {
		api := start(ctx, "--record-rate=0", "--record-burst=0")
		createActiveWebhook(ctx, namespace, "never", recording(v1alpha1.RecordNever))
		createActiveWebhook(ctx, namespace, "always", recording(v1alpha1.RecordAlways))
		awaitWebhooks(ctx, api, 2)
		n := warmUp(ctx, api)
		for i := range 20 {
			publishEvent(ctx, api, numberedEvent(i))
		}
		Eventually(ctx, func() map[string]int {
			count := map[string]int{}
			for _, delivery := range listDeliveries(ctx, namespace) {
				count[delivery.Spec.WebhookRef.Name]++
			}
			return count
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(map[string]int{"always": n + 20}))
	})

	It("are stored before the answer with the policy Always, or the event fails", SpecTimeout(3*time.Minute), func(ctx SpecContext) {
		proxy, err := cluster.StartAPIProxy()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(proxy.Close)
		options := gatewayOptions("--record-rate=0", "--record-burst=0")
		options.Proxy = proxy
		api := apiClient{base: startGateway(ctx, options).URL, token: token}
		createActiveWebhook(ctx, namespace, "always", recording(v1alpha1.RecordAlways))
		awaitWebhooks(ctx, api, 1)
		before := warmUp(ctx, api)

		By("while the controller is behind")
		policy := installPolicy(ctx, namespace, "webhookdeliveries/status")
		policy.Answer(admission.Deny(503, "not now"))
		const n = 300 // more than wait for the controller otherwise
		inParallel(ctx, n, func(i int) {
			Expect(deliveryStates(publishEvent(ctx, api, numberedEvent(i)))).To(Equal([]string{rest.DeliverySucceeded}))
		})
		recorded := len(listDeliveries(ctx, namespace)) - before
		reportFigure("record: Always, the controller is behind: %d of %d recorded when the last answer came", recorded, n)
		Expect(recorded).To(Equal(n))
		policy.Allow()

		By("while the API server is away")
		release := proxy.Hold()
		DeferCleanup(release)
		for range 2 {
			decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", numberedEvent(n)), http.StatusServiceUnavailable)
		}
		release()
		got, _ := publishUntilAccepted(ctx, api, numberedEvent(n))
		Expect(deliveryStates(got)).To(Equal([]string{rest.DeliverySucceeded}))
		Expect(findDelivery(ctx, namespace, fmt.Sprint("e", n))).NotTo(BeNil())
		Expect(attemptNumbers(specPath(namespace, "always"), fmt.Sprint("e", n))).To(HaveLen(1), "it was sent once")
	})

	It("include a success that ends a failure, with the policy Never too", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		api := start(ctx, "--record-rate=0", "--record-burst=0")
		webhook := createActiveWebhook(ctx, namespace, "never", recording(v1alpha1.RecordNever), func(spec *v1alpha1.WebhookSpec) {
			spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{{Duration: time.Hour}}}
		})
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		healthy := func() string {
			Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(Succeed())
			return meta.FindStatusCondition(webhook.Status.Conditions, v1alpha1.ConditionEndpointHealthy).Reason
		}
		endpoint.Script(specPath(namespace, "never"), receiver.Step{Status: http.StatusInternalServerError}, receiver.Step{Status: http.StatusOK})
		Expect(deliveryStates(publishEvent(ctx, api, numberedEvent(1)))).To(Equal([]string{rest.DeliveryRetrying}))
		Eventually(ctx, healthy).WithTimeout(30 * time.Second).WithPolling(pollEvery).Should(Equal(v1alpha1.ReasonAttemptsFailing))
		Eventually(ctx, func() *bool {
			return decode[rest.WebhookList](api.call(ctx, http.MethodGet, "/v1/webhooks", nil), http.StatusOK).Data[0].EndpointHealth.Healthy
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveValue(BeFalse()))
		Expect(deliveryStates(publishEvent(ctx, api, numberedEvent(2)))).To(Equal([]string{rest.DeliverySucceeded}))
		Eventually(ctx, healthy).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(v1alpha1.ReasonDelivering))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(2))
	})

	It("are not needed for an id to be published once only", func(ctx SpecContext) {
		api := start(ctx, noRecordFlags()...)
		createActiveWebhook(ctx, namespace, "one")
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		path := specPath(namespace, "one")
		first := api.call(ctx, http.MethodPost, "/v1/events", numberedEvent(1))
		Expect(api.call(ctx, http.MethodPost, "/v1/events", numberedEvent(1)).body).To(Equal(first.body), "the same answer")
		Expect(attemptNumbers(path, "e1")).To(HaveLen(1))
		By("refusing another event under the id")
		other := `{"event":"` + eventType + `","id":"e1","data":` + eventData(`,"n":2`) + `}`
		Expect(decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", other), http.StatusConflict).Reason).To(Equal("EventIDTaken"))
		late := `{"event":"` + eventType + `","id":"e1","timestamp":"2020-01-01T00:00:00Z","data":` + eventData(`,"n":1`) + `}`
		Expect(decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", late), http.StatusConflict).Reason).To(Equal("EventIDTaken"))
		By("completing for a webhook that is new")
		createActiveWebhook(ctx, namespace, "two")
		awaitWebhooks(ctx, api, 2)
		Expect(publishEvent(ctx, api, numberedEvent(1)).Deliveries).To(HaveLen(2))
		Eventually(ctx, func() []string { return attemptNumbers(specPath(namespace, "two"), "e1") }).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveLen(1))
		Expect(attemptNumbers(path, "e1")).To(HaveLen(1))
		Expect(receivedBodies(path, "e1")).To(Equal(receivedBodies(specPath(namespace, "two"), "e1")), "with the first timestamp")
	})

	It("are not needed for many requests with one id to send one attempt", func(ctx SpecContext) {
		api := start(ctx, noRecordFlags()...)
		createActiveWebhook(ctx, namespace, "one")
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		path := specPath(namespace, "one")
		endpoint.Script(path, receiver.Step{Delay: 200 * time.Millisecond})
		inParallel(ctx, publishers, func(int) {
			defer GinkgoRecover()
			Expect(deliveryStates(publishEvent(ctx, api, numberedEvent(7)))).To(Equal([]string{rest.DeliverySucceeded}))
		})
		Expect(attemptNumbers(path, "e7")).To(Equal([]string{"1"}))
	})
})

// receivedBodies are the bodies with which an event arrived at a path.
func receivedBodies(path, eventID string) (bodies []string) {
	for _, post := range endpoint.Received(path) {
		if post.EventID == eventID {
			bodies = append(bodies, post.Body)
		}
	}
	return bodies
}
