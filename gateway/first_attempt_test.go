// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"net/http"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// noRecordFlags are flags of a gateway that records no success.
func noRecordFlags() []string { return []string{"--record-rate=0", "--record-burst=0"} }

// startGateway starts a gateway for one spec.
func startGateway(ctx context.Context, options stack.GatewayOptions) *stack.Gateway {
	GinkgoHelper()
	own, err := cluster.StartGateway(ctx, options)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(own.Kill)
	return own
}

// createActiveWebhook creates a webhook whose endpoint is the path "/<namespace>/<name>", and waits until the
// controller has made it active and ready.
func createActiveWebhook(ctx context.Context, namespace, name string, edit ...func(*v1alpha1.WebhookSpec)) *v1alpha1.Webhook {
	GinkgoHelper()
	webhook := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.WebhookSpec{URL: endpoint.URL(specPath(namespace, name)), Events: []string{"*"}},
	}
	for _, change := range edit {
		change(&webhook.Spec)
	}
	Expect(cluster.Client.Create(ctx, webhook)).To(Succeed())
	Eventually(ctx, func(g Gomega) {
		g.Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(Succeed())
		g.Expect(webhook.Status.State).To(Equal(v1alpha1.WebhookActive))
		g.Expect(webhook.Status.Conditions).To(ContainElement(And(HaveField("Type", "Ready"), HaveField("Status", metav1.ConditionTrue))))
	}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Succeed())
	return webhook
}

func specPath(namespace, name string) string { return "/" + namespace + "/" + name }

// warmUp publishes until every delivery succeeds at once by a first attempt, and returns how many events that took.
func warmUp(ctx context.Context, api apiClient) (n int) {
	GinkgoHelper()
	Eventually(ctx, func() []string {
		n++
		return deliveryStates(publishEvent(ctx, api, eventBody("")))
	}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveEach(rest.DeliverySucceeded))
	return n
}

func deliveryStates(published rest.Published) (all []string) {
	for _, delivery := range published.Deliveries {
		all = append(all, delivery.Status)
	}
	return all
}

// findDelivery returns the delivery of one event as the API server has it; nil: there is none.
func findDelivery(ctx context.Context, namespace, eventID string) *v1alpha1.WebhookDelivery {
	GinkgoHelper()
	for _, delivery := range listDeliveries(ctx, namespace) {
		if delivery.Spec.EventID == eventID {
			return &delivery
		}
	}
	return nil
}

// awaitDelivery waits until the delivery of an event has one of the given states.
func awaitDelivery(ctx context.Context, namespace, eventID string, should ...any) *v1alpha1.WebhookDelivery {
	GinkgoHelper()
	var object *v1alpha1.WebhookDelivery
	Eventually(ctx, func(g Gomega) {
		object = findDelivery(ctx, namespace, eventID)
		g.Expect(object).NotTo(BeNil())
		g.Expect(object.Status.State).To(BeElementOf(should...))
	}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Succeed())
	return object
}

// shareSecret gives the endpoint a webhook's signing secret.
func shareSecret(ctx context.Context, webhook *v1alpha1.Webhook) {
	GinkgoHelper()
	var secret corev1.Secret
	Expect(cluster.Client.Get(ctx, client.ObjectKey{Namespace: webhook.Namespace, Name: webhook.Name + "-signing"}, &secret)).To(Succeed())
	Expect(endpoint.Secrets(specPath(webhook.Namespace, webhook.Name), string(secret.Data[v1alpha1.SecretKey]))).To(Succeed())
}

// attemptNumbers are the attempt numbers with which an event arrived at a path.
func attemptNumbers(path, eventID string) (numbers []string) {
	for _, post := range endpoint.Received(path) {
		if post.EventID == eventID {
			numbers = append(numbers, post.Attempt)
		}
	}
	return numbers
}

// withRetries sets a retry policy.
func withRetries(timeout time.Duration, delays ...time.Duration) func(*v1alpha1.WebhookSpec) {
	return func(spec *v1alpha1.WebhookSpec) {
		all := []metav1.Duration{}
		for _, delay := range delays {
			all = append(all, metav1.Duration{Duration: delay})
		}
		spec.RetryPolicy = &v1alpha1.RetryPolicy{Timeout: &metav1.Duration{Duration: timeout}, Delays: &all}
	}
}

var _ = Describe("a first attempt", func() {
	var (
		namespace, token string
		own              *stack.Gateway
		api              apiClient
	)
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		token = newAccount(ctx, namespace, "publisher", publisher, viewer, deliveryViewer)
		own = startGateway(ctx, gatewayOptions(noRecordFlags()...))
		api = apiClient{base: own.URL, token: token}
	})

	It("delivers without storing an object", func(ctx SpecContext) {
		createActiveWebhook(ctx, namespace, "one")
		createActiveWebhook(ctx, namespace, "two")
		awaitWebhooks(ctx, api, 2)
		warmUp(ctx, api)
		before := len(listDeliveries(ctx, namespace))
		for i := range 20 {
			got := publishEvent(ctx, api, numberedEvent(i))
			Expect(deliveryStates(got)).To(Equal([]string{rest.DeliverySucceeded, rest.DeliverySucceeded}))
			for _, name := range []string{"one", "two"} {
				Expect(attemptNumbers(specPath(namespace, name), got.EventID)).To(Equal([]string{"1"}), "delivered when the answer comes")
			}
		}
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(before))
	})

	It("is signed like every attempt", func(ctx SpecContext) {
		webhook := createActiveWebhook(ctx, namespace, "one")
		shareSecret(ctx, webhook)
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		counts := endpoint.Counts(specPath(namespace, "one"))
		Expect(counts.Verified).To(Equal(counts.Posts))
	})

	It("that fails is stored with its delivery, and the controller makes the second attempt", func(ctx SpecContext) {
		createActiveWebhook(ctx, namespace, "one", withRetries(time.Second, time.Second))
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		endpoint.Script(specPath(namespace, "one"), receiver.Step{Status: 500}, receiver.Step{})
		got := publishEvent(ctx, api, eventBody(`,"id":"failing"`))
		Expect(deliveryStates(got)).To(Equal([]string{rest.DeliveryRetrying}))
		object := awaitDelivery(ctx, namespace, "failing", v1alpha1.DeliverySucceeded)
		Expect(object.Spec.FirstAttempt).To(HaveField("Reason", "HTTPStatus"))
		Expect(*object.Spec.FirstAttempt.ResponseStatus).To(BeEquivalentTo(500))
		Expect(object.Status.AttemptLog).To(HaveLen(2))
		Expect(attemptNumbers(specPath(namespace, "one"), "failing")).To(Equal([]string{"1", "2"}))
		pause := object.Status.AttemptLog[1].StartTime.Sub(object.Status.AttemptLog[0].StartTime.Time)
		Expect(pause).To(BeNumerically(">=", time.Second), "the delay counts from the end of the first attempt")
	})

	It("answered by 410 ends the delivery and disables the webhook", func(ctx SpecContext) {
		webhook := createActiveWebhook(ctx, namespace, "one")
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		endpoint.Script(specPath(namespace, "one"), receiver.Step{Status: 410})
		publishEvent(ctx, api, eventBody(`,"id":"gone"`))
		object := awaitDelivery(ctx, namespace, "gone", v1alpha1.DeliveryFailed)
		Expect(object.Status.Attempts).To(BeEquivalentTo(1))
		Eventually(ctx, func() v1alpha1.WebhookState {
			Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(Succeed())
			return webhook.Status.State
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(v1alpha1.WebhookDisabled))
		Eventually(ctx, func() []rest.SkippedWebhook { return publishEvent(ctx, api, eventBody("")).Skipped }).
			WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(HaveLen(1))
	})

	It("is waited for as long as the publisher prefers", func(ctx SpecContext) {
		createActiveWebhook(ctx, namespace, "one")
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		ask := func(prefer string) (rest.Published, http.Header) {
			GinkgoHelper()
			got := api.withHeader("Prefer", prefer).call(ctx, http.MethodPost, "/v1/events", eventBody(""))
			return decode[rest.Published](got, http.StatusAccepted), got.header
		}
		for _, c := range []struct{ prefer, applied, state string }{
			{"respond-async", "respond-async", rest.DeliveryPending},
			{"wait=0", "wait=0", rest.DeliveryPending},
			{"wait=5", "wait=5", rest.DeliverySucceeded},
			{"respond-async, wait=5", "wait=5", rest.DeliverySucceeded},
			{"wait=600", "wait=10", rest.DeliverySucceeded},
			{"wait=soon", "", rest.DeliverySucceeded},
			{"return=minimal", "", rest.DeliverySucceeded},
		} {
			got, header := ask(c.prefer)
			Expect([]string{header.Get("Preference-Applied"), header.Get("Vary")}).To(Equal([]string{c.applied, "Prefer"}), c.prefer)
			Expect(deliveryStates(got)).To(Equal([]string{c.state}), c.prefer)
		}
		endpoint.Script(specPath(namespace, "one"), receiver.Step{Delay: 1500 * time.Millisecond})
		got, _ := ask("wait=5")
		Expect(deliveryStates(got)).To(Equal([]string{rest.DeliverySucceeded}), "longer than usual")
	})

	It("that outlasts the wait is handed over, and made once", func(ctx SpecContext) {
		createActiveWebhook(ctx, namespace, "one")
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		path := specPath(namespace, "one")
		endpoint.Script(path, receiver.Step{Delay: 2 * time.Second}, receiver.Step{})
		began := time.Now()
		got := publishEvent(ctx, api, eventBody(`,"id":"slow"`))
		Expect(time.Since(began)).To(BeNumerically("~", time.Second, 700*time.Millisecond))
		Expect(deliveryStates(got)).To(Equal([]string{rest.DeliveryPending}))

		By("leaving the circuit of a slow endpoint open")
		again := time.Now()
		Expect(deliveryStates(publishEvent(ctx, api, eventBody(`,"id":"next"`)))).To(Equal([]string{rest.DeliveryPending}))
		Expect(time.Since(again)).To(BeNumerically("<", 900*time.Millisecond), "nobody waits for it")

		object := awaitDelivery(ctx, namespace, "slow", v1alpha1.DeliverySucceeded)
		Expect(object.Status.AttemptLog).To(HaveLen(1))
		Expect(object.Status.AttemptLog[0].DurationMilliseconds).To(BeNumerically(">=", 2000))
		Expect(object.Spec.NotBefore.Sub(began)).To(BeNumerically(">=", 15*time.Second), "5 s beyond the timeout")
		Expect(attemptNumbers(path, "slow")).To(Equal([]string{"1"}))
		awaitDelivery(ctx, namespace, "next", v1alpha1.DeliverySucceeded)
	})

	It("that fails after its hand-over is followed by the second attempt", func(ctx SpecContext) {
		createActiveWebhook(ctx, namespace, "one", withRetries(10*time.Second, time.Second))
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		path := specPath(namespace, "one")
		endpoint.Script(path, receiver.Step{Delay: 1500 * time.Millisecond, Status: 503}, receiver.Step{})
		publishEvent(ctx, api, eventBody(`,"id":"slow"`))
		object := awaitDelivery(ctx, namespace, "slow", v1alpha1.DeliverySucceeded)
		Expect(object.Status.AttemptLog).To(HaveLen(2))
		Expect(attemptNumbers(path, "slow")).To(Equal([]string{"1", "2"}))
	})

	It("is not made for suspended or failing webhooks", func(ctx SpecContext) {
		webhook := createActiveWebhook(ctx, namespace, "one", withRetries(time.Second))
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		path := specPath(namespace, "one")
		endpoint.Script(path, receiver.Step{Status: 500}, receiver.Step{})
		publishEvent(ctx, api, eventBody(`,"id":"lost"`))
		awaitDelivery(ctx, namespace, "lost", v1alpha1.DeliveryFailed)
		Eventually(ctx, func() v1alpha1.WebhookState {
			Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(Succeed())
			return webhook.Status.State
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(v1alpha1.WebhookFailing))
		By("recovering: the controller makes the attempt whose success ends the failure")
		Eventually(ctx, func() int {
			publishEvent(ctx, api, eventBody(""))
			return len(listDeliveries(ctx, namespace))
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(BeNumerically(">", 1))
		warmUp(ctx, api) // a success that the gateway has just seen counts more than the state
		Eventually(ctx, func() v1alpha1.WebhookState {
			Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(Succeed())
			return webhook.Status.State
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(v1alpha1.WebhookActive))
		change(ctx, webhook, `{"spec":{"suspend":true}}`)
		Eventually(ctx, func() []string { return deliveryStates(publishEvent(ctx, api, eventBody(""))) }).
			WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal([]string{rest.DeliveryPending}))
	})

	It("is not made during a Retry-After hold of the endpoint", func(ctx SpecContext) {
		createActiveWebhook(ctx, namespace, "one")
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		path := specPath(namespace, "one")
		endpoint.Script(path, receiver.Step{Status: 429, Header: map[string]string{"Retry-After": "3"}}, receiver.Step{})
		publishEvent(ctx, api, eventBody(`,"id":"throttled"`))
		began := time.Now()
		Expect(deliveryStates(publishEvent(ctx, api, eventBody(`,"id":"after"`)))).To(Equal([]string{rest.DeliveryPending}))
		awaitDelivery(ctx, namespace, "after", v1alpha1.DeliverySucceeded)
		Expect(time.Since(began)).To(BeNumerically(">", 1500*time.Millisecond))
		warmUp(ctx, api)
	})

	DescribeTable("is left to the controller where the gateway makes none", func(ctx SpecContext, prepare func(context.Context) []string) {
		createActiveWebhook(ctx, namespace, "one")
		args := prepare(ctx)
		other := startGateway(ctx, gatewayOptions(args...))
		api := apiClient{base: other.URL, token: token}
		awaitWebhooks(ctx, api, 1)
		for i := range 3 {
			Expect(deliveryStates(publishEvent(ctx, api, numberedEvent(i)))).To(Equal([]string{rest.DeliveryPending}))
			awaitDelivery(ctx, namespace, "e"+strconv.Itoa(i), v1alpha1.DeliverySucceeded)
		}
		Expect(endpoint.Counts(specPath(namespace, "one")).Posts).To(Equal(3))
	},
		Entry("because a flag turns first attempts off", func(context.Context) []string { return []string{"--first-attempt-wait=0"} }),
		Entry("because the gateway may not read the signing secret", func(ctx context.Context) []string {
			forbidSecrets(ctx)
			return nil
		}),
	)
})

// forbidSecrets takes the right to read signing Secrets from gateways for the
// rest of the spec.
func forbidSecrets(ctx context.Context) {
	GinkgoHelper()
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "bbmcp-gateway-signing"}}
	Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(binding), binding)).To(Succeed())
	Expect(cluster.Client.Delete(ctx, binding)).To(Succeed())
	binding.ResourceVersion, binding.UID = "", ""
	DeferCleanup(func(ctx SpecContext) { Expect(cluster.Client.Create(ctx, binding)).To(Succeed()) })
}
