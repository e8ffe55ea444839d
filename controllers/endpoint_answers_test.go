// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var _ = Describe("The answer of an endpoint", func() {
	It("410 disables the webhook at once, until it is enabled", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		cluster.receiver.Script("/"+namespace, receiver.Step{Status: 410}, receiver.Step{Status: 200})
		o := startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace))
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "gone")))).Should(Equal("Failed EndpointGone 1"))
		Expect(o.observations.Disabled(fresh(ctx, webhook))).To(BeTrue())
		Eventually(ready(ctx, webhook)).Should(Equal("False Disabled"))
		held := create(ctx, newDeliveryIn(namespace, "held"))
		Eventually(state(ctx, held)).Should(Equal("Pending WebhookDisabled 0"))
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "test", func(d *v1alpha1.WebhookDelivery) { d.Spec.Test = true })))).
			Should(Equal("Succeeded Delivered 1"), "a test event goes out")
		Consistently(ready(ctx, webhook), "200ms").Should(Equal("False Disabled"), "and does not count")
		annotate(ctx, webhook, v1alpha1.EnableRequestedAtAnnotation, "now")
		Eventually(state(ctx, held)).Should(Equal("Succeeded Delivered 1"))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
	}, SpecTimeout(soon))

	It("belongs to an attempt without the trace of the publisher", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		cluster.receiver.Script("/"+namespace, receiver.Step{Status: 500}, receiver.Step{Status: 200})
		startOperator(operatorOptions{namespace: namespace})
		create(ctx, newWebhookIn(namespace))
		delivery := create(ctx, newDeliveryIn(namespace, "a", func(d *v1alpha1.WebhookDelivery) { d.Spec.TraceParent = trace }))
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 2"))
		for _, post := range cluster.receiver.Received("/" + namespace) {
			Expect(post.Header).NotTo(HaveKey("Traceparent"))
		}
	}, SpecTimeout(soon))

	It("410 in the status of a delivery disables the webhook also if the process dies before the Webhook's status shows it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		cluster.receiver.Script("/"+namespace, receiver.Step{Status: 410})
		webhook := create(ctx, newWebhookIn(namespace))
		o := startOperator(operatorOptions{namespace: namespace})
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		o.stop()
		webhook = fresh(ctx, webhook)
		before := webhook.Status.DeepCopy()
		o = startOperator(operatorOptions{namespace: namespace})
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "gone")))).Should(Equal("Failed EndpointGone 1"))
		o.stop()
		Eventually(func() error { // as if the last write had not been made
			fresh(ctx, webhook)
			webhook.Status = *before
			return cluster.admin.Status().Update(ctx, webhook)
		}).Should(Succeed())
		startOperator(operatorOptions{namespace: namespace})
		Eventually(ready(ctx, webhook)).Should(Equal("False Disabled"))
	}, SpecTimeout(soon))

	It("at a former url says nothing about the present one", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		old := "/" + namespace + "/old"
		cluster.receiver.Script(old, receiver.Step{Status: 410, Delay: 400 * time.Millisecond})
		startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace, func(w *v1alpha1.Webhook) {
			w.Spec.URL, w.Spec.RetryPolicy = cluster.receiver.URL(old), delays(second)
		}))
		delivery := create(ctx, newDeliveryIn(namespace, "a"))
		Eventually(func() int { return cluster.receiver.Counts(old).Posts }).Should(Equal(1))
		patchURL(ctx, webhook, cluster.receiver.URL("/"+namespace))
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "b")))).Should(Equal("Succeeded Delivered 1"))
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 2"), "it goes on at the present one")
		Eventually(func() v1alpha1.WebhookState { return fresh(ctx, webhook).Status.State }).Should(Equal(v1alpha1.WebhookActive))
	}, SpecTimeout(soon))

	It("429 holds the other deliveries of the webhook, also after a restart", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		cluster.receiver.Script("/"+namespace, receiver.Step{Status: 429, Header: map[string]string{"Retry-After": "2"}}, receiver.Step{Status: 200})
		o := startOperator(operatorOptions{namespace: namespace})
		create(ctx, newWebhookIn(namespace))
		first := create(ctx, newDeliveryIn(namespace, "a"))
		Eventually(state(ctx, first)).Should(Equal("Retrying RetryScheduled 1"))
		until := fresh(ctx, first).Status.NextAttemptTime.Time
		o.stop()
		o = startOperator(operatorOptions{namespace: namespace})
		second := create(ctx, newDeliveryIn(namespace, "b"))
		Eventually(func() time.Time {
			return o.runner.HoldUntil(types.NamespacedName{Namespace: namespace, Name: "orders"})
		}).Should(BeTemporally("~", until, time.Second))
		for _, delivery := range []*v1alpha1.WebhookDelivery{first, second} {
			Eventually(state(ctx, delivery)).Should(HavePrefix("Succeeded"))
		}
		for _, post := range cluster.receiver.Received("/" + namespace)[1:] {
			Expect(post.At).To(BeTemporally(">=", until))
		}
	}, SpecTimeout(soon))

	It("429 of an old url holds nothing at the new one, also after a restart", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		old := "/" + namespace + "/old"
		cluster.receiver.Script(old, receiver.Step{Status: 429, Header: map[string]string{"Retry-After": "3600"}})
		o := startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace, func(w *v1alpha1.Webhook) { w.Spec.URL = cluster.receiver.URL(old) }))
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "a")))).Should(Equal("Retrying RetryScheduled 1"))
		queued := create(ctx, newDeliveryIn(namespace, "b"))
		Eventually(o.runner.Stats).Should(And(HaveField("Held", 1), HaveField("Queued", 1)))
		patchURL(ctx, webhook, cluster.receiver.URL("/"+namespace))
		Eventually(state(ctx, queued)).Should(Equal("Succeeded Delivered 1"))
		Eventually(func() *metav1.MicroTime { return fresh(ctx, webhook).Status.EnabledTime }).ShouldNot(BeNil())
		Expect(webhook.Status.RetryAfterTime).To(BeNil())
		o.stop()
		o = startOperator(operatorOptions{namespace: namespace})
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "c")))).Should(Equal("Succeeded Delivered 1"))
		Expect(o.runner.Stats().Held).To(BeZero())
		Expect(cluster.receiver.Counts(old).Posts).To(Equal(1))
	}, SpecTimeout(2*soon))

	It("429 at the gateway's first attempt holds the other deliveries", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace))
		until := time.Now().Add(2 * time.Second)
		delivery := create(ctx, newDeliveryIn(namespace, "a", byGateway(webhook), func(d *v1alpha1.WebhookDelivery) {
			d.Spec.FirstAttempt = &v1alpha1.Attempt{
				Number: 1, StartTime: *micro(time.Since(at(0))), ResponseStatus: new(int32(429)), Reason: "Throttled", RetryAfterTime: micro(until.Sub(at(0))),
			}
		}))
		Eventually(state(ctx, delivery)).Should(Equal("Retrying RetryScheduled 1"))
		// The status shows a moment before its writer hears that it is written.
		Eventually(func() time.Time { return o.runner.HoldUntil(client.ObjectKeyFromObject(webhook)) }).Should(BeTemporally("~", until, time.Millisecond))
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 2"))
		Expect(cluster.receiver.Received("/" + namespace)[0].At).To(BeTemporally(">=", until))
	}, SpecTimeout(soon))
})
