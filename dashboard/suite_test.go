// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

const (
	pollEvery       = suite.PollEvery
	eventualTimeout = suite.Soon
)

var (
	// cluster is the one control plane that all specs share.
	cluster *suite.Cluster
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
	cluster = suite.Start(ctx, stack.Options{AuditPolicy: auditPolicy})
	shared, endpoint = cluster.StartProduct(ctx, nil, storeFirst)
}, NodeTimeout(suite.StartTimeout))

// The five roles.
const (
	viewer         = suite.Viewer
	deliveryViewer = suite.DeliveryViewer
	editor         = suite.Editor
	publisher      = suite.Publisher
	admin          = suite.Admin
)

// everything lets a person use all of the dashboard.
var everything = []string{viewer, deliveryViewer, editor, publisher}

func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	return cluster.NewNamespace(ctx, "dashboard-")
}

// newAccount makes a ServiceAccount with these roles and returns its token.
func newAccount(ctx context.Context, namespace, name string, roles ...string) string {
	GinkgoHelper()
	return cluster.NewAccount(ctx, namespace, name, roles...)
}

// createWebhook makes a webhook as kubectl would, with one attempt for a delivery, and
// waits until it is ready.
func createWebhook(ctx context.Context, namespace, name, url string, change ...func(*v1alpha1.Webhook)) string {
	GinkgoHelper()
	return cluster.CreateWebhook(ctx, namespace, name, url, change...)
}

// publishEvent sends an event through the gateway.
func publishEvent(ctx context.Context, token, body string) {
	GinkgoHelper()
	suite.Post(ctx, shared, "/v1/events", token, body)
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
