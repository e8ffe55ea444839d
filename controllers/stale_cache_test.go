// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var _ = Describe("A stale cache", func() {
	It("causes no second attempt while it shows a delivery as it was created", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		cluster.receiver.Script("/"+namespace, receiver.Step{Status: 500, Times: 3}, receiver.Step{Status: 200})
		o := startOperator(operatorOptions{namespace: namespace})
		create(ctx, newWebhookIn(namespace))
		delivery := create(ctx, newDeliveryIn(namespace, "a"))
		o.cache.show(delivery)
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 4"))
		// Whatever wakes the reconciler now, it sees a new delivery.
		for range 5 {
			o.deliveries.Wake(client.ObjectKeyFromObject(delivery))
			annotate(ctx, delivery, "wake", time.Now().String())
		}
		Consistently(func() int { return cluster.receiver.Counts("/" + namespace).Posts }, "300ms").Should(Equal(4))
		o.cache.catchUp()
		Expect(cluster.receiver.Counts("/" + namespace)).To(Equal(receiver.Counts{Posts: 4, Unique: 1, Accepted: 1}))
		Expect(o.metric("bbmcp_deliveries_total", nil)).To(Equal(1.0))
	}, SpecTimeout(soon))

	It("causes no second attempt while it shows a failed delivery that was retried by hand", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		cluster.receiver.Script("/"+namespace, receiver.Step{Status: 500})
		o := startOperator(operatorOptions{namespace: namespace})
		create(ctx, newWebhookIn(namespace, func(w *v1alpha1.Webhook) { w.Spec.RetryPolicy = delays() }))
		delivery := create(ctx, newDeliveryIn(namespace, "a"))
		Eventually(state(ctx, delivery)).Should(Equal("Failed AttemptsExhausted 1"))
		annotate(ctx, delivery, v1alpha1.RetryRequestedAtAnnotation, "now")
		asked := fresh(ctx, delivery).DeepCopy()
		stripDelivery(asked) // as the cache does: the payload is read when it is needed
		o.cache.show(asked)
		o.deliveries.Wake(client.ObjectKeyFromObject(delivery))
		Eventually(state(ctx, delivery)).Should(Equal("Failed AttemptsExhausted 2"))
		for range 5 {
			o.deliveries.Wake(client.ObjectKeyFromObject(delivery))
			annotate(ctx, delivery, "wake", time.Now().String())
		}
		Consistently(func() int { return cluster.receiver.Counts("/" + namespace).Posts }, "300ms").Should(Equal(2))
		Expect(o.metric("bbmcp_deliveries_total", nil)).To(Equal(1.0), "a delivery that fails again is not counted again")
		Expect(o.metric("bbmcp_attempts_total", nil)).To(Equal(2.0))
	}, SpecTimeout(soon))

	It("repeats no first attempt whose outcome the gateway has written", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace))
		delivery := newDeliveryIn(namespace, "a", byGateway(webhook))
		delivery.Spec.NotBefore = new(metav1.NewMicroTime(time.Now().Add(time.Second).Truncate(time.Microsecond)))
		o.cache.show(create(ctx, delivery))
		settled := fresh(ctx, delivery).DeepCopy()
		made := v1alpha1.Attempt{Number: 1, StartTime: metav1.NowMicro(), ResponseStatus: new(int32(200))}
		settled.Status.Attempts, settled.Status.AttemptLog, settled.Status.LastAttemptTime = 1, []v1alpha1.Attempt{made}, &made.StartTime
		Expect(cluster.admin.Status().Update(ctx, settled)).To(Succeed())
		o.deliveries.Wake(client.ObjectKeyFromObject(delivery)) // it looks again at notBefore
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 1"), "though the cache does not show it yet")
		Expect(cluster.receiver.Counts("/" + namespace).Posts).To(BeZero())
		o.cache.catchUp()
		Consistently(func() int { return cluster.receiver.Counts("/" + namespace).Posts }, "300ms").Should(BeZero())
	}, SpecTimeout(soon))

	It("that shows a deleted Webhook fails no delivery of the one created anew", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		old := create(ctx, newWebhookIn(namespace)).DeepCopy()
		Expect(cluster.admin.Delete(ctx, old)).To(Succeed())
		webhook := create(ctx, newWebhookIn(namespace))
		var stale atomic.Bool
		stale.Store(true)
		startOperator(operatorOptions{namespace: namespace, webhook: func(types.NamespacedName) (*v1alpha1.Webhook, error) {
			if stale.Load() {
				return old, nil
			}
			return nil, nil
		}})
		gateway := create(ctx, newDeliveryIn(namespace, "a", byGateway(webhook)))
		byHand := create(ctx, newDeliveryIn(namespace, "b"))
		Consistently(func() int { return len(fresh(ctx, byHand).OwnerReferences) }, "500ms").Should(BeZero(), "it would be deleted with the old owner")
		Expect(fresh(ctx, gateway).Status.State).NotTo(Equal(v1alpha1.DeliveryFailed))
		stale.Store(false)
		annotate(ctx, webhook, "wake", "up")
		Eventually(state(ctx, gateway)).Should(Equal("Succeeded Delivered 1"))
		Eventually(state(ctx, byHand)).Should(Equal("Succeeded Delivered 1"))
		Expect(fresh(ctx, byHand).OwnerReferences[0].UID).To(Equal(webhook.UID))
	}, SpecTimeout(soon))

	It("that does not show a Webhook fails no delivery of it, however old", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		webhook := create(ctx, newWebhookIn(namespace))
		delivery := create(ctx, newDeliveryIn(namespace, "a", byGateway(webhook)))
		var blind atomic.Bool
		blind.Store(true)
		startOperator(operatorOptions{namespace: namespace, clockAhead: 2 * time.Hour, webhook: func(types.NamespacedName) (*v1alpha1.Webhook, error) {
			if blind.Load() {
				return nil, errNotInCache
			}
			return nil, nil
		}})
		Consistently(func() v1alpha1.DeliveryState { return fresh(ctx, delivery).Status.State }, "300ms").ShouldNot(Equal(v1alpha1.DeliveryFailed))
		blind.Store(false)
		annotate(ctx, webhook, "wake", "up")
		Eventually(state(ctx, delivery)).Should(HavePrefix("Succeeded"))
	}, SpecTimeout(soon))

	It("does not keep a delivery from being adopted that another client has written meanwhile", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		var adoptions atomic.Int64
		startOperator(operatorOptions{namespace: namespace, fault: func(_ int64, verb string, _ client.Object) fault {
			if verb == "patch" && adoptions.Add(1) <= 3 {
				return conflicts
			}
			return carriedOut
		}})
		webhook := create(ctx, newWebhookIn(namespace))
		delivery := create(ctx, newDeliveryIn(namespace, "a"))
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 1"))
		Expect(fresh(ctx, delivery).OwnerReferences[0].UID).To(Equal(webhook.UID))
		Expect(adoptions.Load()).To(BeNumerically("==", 4))
	}, SpecTimeout(soon))

	It("causes no attempt of a delivery that was deleted meanwhile", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		create(ctx, newWebhookIn(namespace, func(w *v1alpha1.Webhook) { w.Spec.Suspend = true }))
		o := startOperator(operatorOptions{namespace: namespace})
		delivery := create(ctx, newDeliveryIn(namespace, "a"))
		Eventually(func() string { return succeededReason(fresh(ctx, delivery)) }).Should(Equal(v1alpha1.ReasonWebhookSuspended))
		o.cache.show(delivery)
		Expect(cluster.admin.Delete(ctx, delivery)).To(Succeed())
		webhook := newWebhookIn(namespace)
		change(ctx, webhook, func(w *v1alpha1.Webhook) { w.Spec.Suspend = false })
		o.deliveries.Wake(client.ObjectKeyFromObject(delivery))
		Consistently(func() int { return cluster.receiver.Counts("/" + namespace).Posts }, "300ms").Should(BeZero())
	}, SpecTimeout(soon))
})
