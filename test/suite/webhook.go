// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

// CreateWebhook makes a webhook as kubectl would, with one attempt for a delivery,
// waits until it is ready and returns its id.
func (c *Cluster) CreateWebhook(ctx context.Context, namespace, name, url string, change ...func(*v1alpha1.Webhook)) string {
	ginkgo.GinkgoHelper()
	webhook := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.WebhookSpec{URL: url, Events: []string{"*"}, RetryPolicy: &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{}}},
	}
	for _, f := range change {
		f(webhook)
	}
	gomega.Expect(c.Client.Create(ctx, webhook)).To(gomega.Succeed())
	gomega.Eventually(ctx, func(g gomega.Gomega) {
		g.Expect(c.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(gomega.Succeed())
		g.Expect(webhook.Status.Signing).NotTo(gomega.BeNil())
	}).Should(gomega.Succeed())
	return identity.WebhookID(namespace, name)
}

// SetOneAttempt makes deliveries of a webhook fail at once.
func (c *Cluster) SetOneAttempt(ctx context.Context, namespace, name string) {
	ginkgo.GinkgoHelper()
	webhook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"retryPolicy":{"delays":[]}}}`))
	gomega.Expect(c.Client.Patch(ctx, webhook, patch)).To(gomega.Succeed())
}
