// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var _ = Describe("What an endpoint answers", func() {
	It("410 disables at once, until somebody enables", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		world.receiver.Script("/"+namespace, receiver.Step{Status: 410}, receiver.Step{Status: 200})
		o := startOperator(setup{namespace: namespace})
		webhook := create(ctx, hookIn(namespace))
		Eventually(state(ctx, create(ctx, deliveryIn(namespace, "gone")))).Should(Equal("Failed EndpointGone 1"))
		Expect(o.observations.Disabled(fresh(ctx, webhook))).To(BeTrue())
		Eventually(ready(ctx, webhook)).Should(Equal("False Disabled"))
		held := create(ctx, deliveryIn(namespace, "held"))
		Eventually(state(ctx, held)).Should(Equal("Pending WebhookDisabled 0"))
		Eventually(state(ctx, create(ctx, deliveryIn(namespace, "test", func(d *v1alpha1.WebhookDelivery) { d.Spec.Test = true })))).
			Should(Equal("Succeeded Delivered 1"), "a test event goes out")
		Consistently(ready(ctx, webhook), "200ms").Should(Equal("False Disabled"), "and does not count")
		annotate(ctx, webhook, v1alpha1.EnableRequestedAtAnnotation, "now")
		Eventually(state(ctx, held)).Should(Equal("Succeeded Delivered 1"))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
	}, SpecTimeout(soon))

	It("is an answer to an attempt that tells nothing of the trace of who published it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		world.receiver.Script("/"+namespace, receiver.Step{Status: 500}, receiver.Step{Status: 200})
		startOperator(setup{namespace: namespace})
		create(ctx, hookIn(namespace))
		delivery := create(ctx, deliveryIn(namespace, "a", func(d *v1alpha1.WebhookDelivery) { d.Spec.TraceParent = trace }))
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 2"))
		for _, post := range world.receiver.Received("/" + namespace) {
			Expect(post.Header).NotTo(HaveKey("Traceparent"))
		}
	}, SpecTimeout(soon))

	It("410 written to a delivery disables also if the process dies before the Webhook's status says so", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		world.receiver.Script("/"+namespace, receiver.Step{Status: 410})
		webhook := create(ctx, hookIn(namespace))
		o := startOperator(setup{namespace: namespace})
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		o.stop()
		webhook = fresh(ctx, webhook)
		before := webhook.Status.DeepCopy()
		o = startOperator(setup{namespace: namespace})
		Eventually(state(ctx, create(ctx, deliveryIn(namespace, "gone")))).Should(Equal("Failed EndpointGone 1"))
		o.stop()
		Eventually(func() error { // as if the last write had not been made
			fresh(ctx, webhook)
			webhook.Status = *before
			return world.admin.Status().Update(ctx, webhook)
		}).Should(Succeed())
		startOperator(setup{namespace: namespace})
		Eventually(ready(ctx, webhook)).Should(Equal("False Disabled"))
	}, SpecTimeout(soon))

	It("at a url of before says nothing of the present one", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		old := "/" + namespace + "/old"
		world.receiver.Script(old, receiver.Step{Status: 410, Delay: 400 * time.Millisecond})
		startOperator(setup{namespace: namespace})
		webhook := create(ctx, hookIn(namespace, func(w *v1alpha1.Webhook) {
			w.Spec.URL, w.Spec.RetryPolicy = world.receiver.URL(old), delays(second)
		}))
		delivery := create(ctx, deliveryIn(namespace, "a"))
		Eventually(func() int { return world.receiver.Counts(old).Posts }).Should(Equal(1))
		patchURL(ctx, webhook, world.receiver.URL("/"+namespace))
		Eventually(state(ctx, create(ctx, deliveryIn(namespace, "b")))).Should(Equal("Succeeded Delivered 1"))
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 2"), "it goes on at the present one")
		Eventually(func() v1alpha1.WebhookState { return fresh(ctx, webhook).Status.State }).Should(Equal(v1alpha1.WebhookActive))
	}, SpecTimeout(soon))

	It("429 holds the other deliveries, also after a restart", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		world.receiver.Script("/"+namespace, receiver.Step{Status: 429, Header: map[string]string{"Retry-After": "2"}}, receiver.Step{Status: 200})
		o := startOperator(setup{namespace: namespace})
		create(ctx, hookIn(namespace))
		first := create(ctx, deliveryIn(namespace, "a"))
		Eventually(state(ctx, first)).Should(Equal("Retrying RetryScheduled 1"))
		until := fresh(ctx, first).Status.NextAttemptTime.Time
		o.stop()
		o = startOperator(setup{namespace: namespace})
		second := create(ctx, deliveryIn(namespace, "b"))
		Eventually(func() time.Time {
			return o.runner.HoldUntil(types.NamespacedName{Namespace: namespace, Name: "orders"})
		}).Should(BeTemporally("~", until, time.Second))
		for _, delivery := range []*v1alpha1.WebhookDelivery{first, second} {
			Eventually(state(ctx, delivery)).Should(HavePrefix("Succeeded"))
		}
		for _, post := range world.receiver.Received("/" + namespace)[1:] {
			Expect(post.At).To(BeTemporally(">=", until))
		}
	}, SpecTimeout(soon))

	It("429 of an old url holds nothing at the new one, also after a restart", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		old := "/" + namespace + "/old"
		world.receiver.Script(old, receiver.Step{Status: 429, Header: map[string]string{"Retry-After": "3600"}})
		o := startOperator(setup{namespace: namespace})
		webhook := create(ctx, hookIn(namespace, func(w *v1alpha1.Webhook) { w.Spec.URL = world.receiver.URL(old) }))
		Eventually(state(ctx, create(ctx, deliveryIn(namespace, "a")))).Should(Equal("Retrying RetryScheduled 1"))
		queued := create(ctx, deliveryIn(namespace, "b"))
		Eventually(o.runner.Stats).Should(And(HaveField("Held", 1), HaveField("Queued", 1)))
		patchURL(ctx, webhook, world.receiver.URL("/"+namespace))
		Eventually(state(ctx, queued)).Should(Equal("Succeeded Delivered 1"))
		Eventually(func() *metav1.MicroTime { return fresh(ctx, webhook).Status.EnabledTime }).ShouldNot(BeNil())
		Expect(webhook.Status.RetryAfterTime).To(BeNil())
		o.stop()
		o = startOperator(setup{namespace: namespace})
		Eventually(state(ctx, create(ctx, deliveryIn(namespace, "c")))).Should(Equal("Succeeded Delivered 1"))
		Expect(o.runner.Stats().Held).To(BeZero())
		Expect(world.receiver.Counts(old).Posts).To(Equal(1))
	}, SpecTimeout(2*soon))

	It("429 at the gateway's first attempt holds the other deliveries", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(setup{namespace: namespace})
		webhook := create(ctx, hookIn(namespace))
		until := time.Now().Add(2 * time.Second)
		delivery := create(ctx, deliveryIn(namespace, "a", byGateway(webhook), func(d *v1alpha1.WebhookDelivery) {
			d.Spec.FirstAttempt = &v1alpha1.Attempt{
				Number: 1, StartTime: *micro(time.Since(at(0))), ResponseStatus: new(int32(429)), Reason: "Throttled", RetryAfterTime: micro(until.Sub(at(0))),
			}
		}))
		Eventually(state(ctx, delivery)).Should(Equal("Retrying RetryScheduled 1"))
		// The status shows a moment before its writer hears that it is written.
		Eventually(func() time.Time { return o.runner.HoldUntil(keyOf(webhook)) }).Should(BeTemporally("~", until, time.Millisecond))
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 2"))
		Expect(world.receiver.Received("/" + namespace)[0].At).To(BeTemporally(">=", until))
	}, SpecTimeout(soon))
})
