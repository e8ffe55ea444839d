// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	pollEvery       = 20 * time.Millisecond
	eventualTimeout = 30 * time.Second
)

var (
	// cluster is the one control plane that all specs share.
	cluster *stack.Stack
	// shared is the gateway that serves the dashboard.
	shared *stack.Gateway
	// endpoint takes what is sent.
	endpoint *receiver.Receiver
)

func TestDashboard(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Dashboard")
}

// storeFirst makes every delivery an object, which pages are counted by.
var storeFirst = []string{"--first-attempt-wait=0"}

// auditPolicy keeps every call, whole for all kinds that a secret has no place in.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  verbs: [create, update, patch, delete]
  resources:
  - group: bbmcp.quietstack.com
  - group: events.k8s.io
  - group: ""
    resources: [events]
- level: Metadata
`

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = stack.Start(ctx, stack.Options{
		ControlPlane: controlplane.Options{UnsafeNoFsync: true},
		AuditPolicy:  auditPolicy,
		Progress:     func(text string) { GinkgoWriter.Println(text) },
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return cluster.Stop() })
	_, err = cluster.StartManager(ctx, stack.ManagerOptions{Supervise: true})
	Expect(err).NotTo(HaveOccurred())
	shared, err = cluster.StartGateway(ctx, stack.GatewayOptions{Supervise: true, Args: storeFirst})
	Expect(err).NotTo(HaveOccurred())
	endpoint, err = receiver.Start(receiver.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(endpoint.Close)
}, NodeTimeout(20*time.Minute))

// The five roles.
const (
	viewer         = "bbmcp-viewer"
	deliveryViewer = "bbmcp-delivery-viewer"
	editor         = "bbmcp-editor"
	publisher      = "bbmcp-publisher"
	admin          = "bbmcp-admin"
)

// everything lets a person use all of the dashboard.
var everything = []string{viewer, deliveryViewer, editor, publisher}

func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "dashboard-"}}
	Expect(cluster.Client.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}

// newAccount makes a ServiceAccount with these roles and returns its token.
func newAccount(ctx context.Context, namespace, name string, roles ...string) string {
	GinkgoHelper()
	token, err := cluster.Token(ctx, namespace, name, roles)
	Expect(err).NotTo(HaveOccurred())
	return token
}

// createWebhook makes a webhook as kubectl would, with one attempt for a delivery, and
// waits until it is ready.
func createWebhook(ctx context.Context, namespace, name, url string, change ...func(*v1alpha1.Webhook)) string {
	GinkgoHelper()
	webhook := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.WebhookSpec{URL: url, Events: []string{"*"}, RetryPolicy: &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{}}},
	}
	for _, f := range change {
		f(webhook)
	}
	Expect(cluster.Client.Create(ctx, webhook)).To(Succeed())
	id := identity.WebhookID(namespace, name)
	Eventually(ctx, func(g Gomega) {
		var now v1alpha1.Webhook
		g.Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), &now)).To(Succeed())
		g.Expect(now.Status.Signing).NotTo(BeNil())
	}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Succeed())
	return id
}

// setOneAttempt makes deliveries of a webhook fail at once.
func setOneAttempt(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	webhook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"retryPolicy":{"delays":[]}}}`))
	Expect(cluster.Client.Patch(ctx, webhook, patch)).To(Succeed())
}

// publishEvent sends an event through the gateway.
func publishEvent(ctx context.Context, token, body string) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, shared.URL+"/v1/events", newReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	Expect(response.StatusCode).To(Equal(http.StatusAccepted))
}

// awaitDelivery waits for the only delivery of a webhook to be in a state, and
// returns its id.
func awaitDelivery(ctx context.Context, namespace string, state v1alpha1.DeliveryState) (id string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		var list v1alpha1.WebhookDeliveryList
		g.Expect(cluster.Client.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
		g.Expect(list.Items).To(HaveLen(1))
		g.Expect(list.Items[0].Status.State).To(Equal(state))
		id = identity.DeliveryID(list.Items[0].Name, string(list.Items[0].UID))
	}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Succeed())
	return id
}
