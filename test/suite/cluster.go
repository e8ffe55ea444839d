// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// The five roles.
const (
	Viewer         = "bbmcp-viewer"
	DeliveryViewer = "bbmcp-delivery-viewer"
	Editor         = "bbmcp-editor"
	Publisher      = "bbmcp-publisher"
	Admin          = "bbmcp-admin"
)

const (
	// StartTimeout is how long a suite may take before its first spec, programs and
	// control plane not yet built.
	StartTimeout = 20 * time.Minute
	// Soon is how long Eventually waits where a spec says nothing: for what takes
	// moments on a machine that is not busy.
	Soon = 30 * time.Second
	// PollEvery is its pause between two looks.
	PollEvery = 50 * time.Millisecond
)

// Cluster is the one control plane that all specs of a suite share.
type Cluster struct {
	*stack.Stack
}

// setEventuallyDefaults sets how long Eventually waits and pauses. Gomega lets one with a
// context wait until that ends, which is never for a spec without a timeout.
func setEventuallyDefaults() {
	gomega.SetDefaultEventuallyTimeout(Soon)
	gomega.SetDefaultEventuallyPollingInterval(PollEvery)
	gomega.EnforceDefaultTimeoutsWhenUsingContexts()
}

// Start starts a cluster that ends with the suite, and sets what Eventually does
// in it.
func Start(ctx context.Context, options stack.Options) *Cluster {
	ginkgo.GinkgoHelper()
	setEventuallyDefaults()
	options.ControlPlane = controlplane.Options{UnsafeNoFsync: true}
	options.Progress = func(text string) { ginkgo.GinkgoWriter.Println(text) }
	cluster, err := stack.Start(ctx, options)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	ginkgo.DeferCleanup(cluster.Stop)
	return &Cluster{cluster}
}

// StartProduct starts a manager and a gateway that live as long as the cluster, and
// an endpoint that takes what is sent.
func (c *Cluster) StartProduct(ctx context.Context, managerArgs, gatewayArgs []string) (*stack.Gateway, *receiver.Receiver) {
	ginkgo.GinkgoHelper()
	_, err := c.StartManager(ctx, stack.ManagerOptions{Supervise: true, Args: managerArgs})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gateway, err := c.StartGateway(ctx, stack.GatewayOptions{Supervise: true, Args: gatewayArgs})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	endpoint, err := receiver.Start(receiver.Options{})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	ginkgo.DeferCleanup(endpoint.Close)
	return gateway, endpoint
}

// NewNamespace makes a namespace for a spec; a name that ends with a hyphen is only
// the beginning of it.
func (c *Cluster) NewNamespace(ctx context.Context, name string) string {
	ginkgo.GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if name[len(name)-1] == '-' {
		namespace.ObjectMeta = metav1.ObjectMeta{GenerateName: name}
	}
	gomega.Expect(c.Client.Create(ctx, namespace)).To(gomega.Succeed())
	return namespace.Name
}

// NewAccount makes a ServiceAccount with these roles and returns its token.
func (c *Cluster) NewAccount(ctx context.Context, namespace, name string, roles ...string) string {
	ginkgo.GinkgoHelper()
	token, err := c.Token(ctx, namespace, name, roles)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return token
}
