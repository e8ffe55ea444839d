// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

func posts(namespace string) func() int {
	return func() int { return cluster.receiver.Counts("/" + namespace).Posts }
}

// names polls the deliveries that there are.
func names(ctx context.Context, namespace string) func() []string {
	return func() []string {
		var list v1alpha1.WebhookDeliveryList
		Expect(cluster.admin.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
		var all []string
		for i := range list.Items {
			all = append(all, list.Items[i].Name)
		}
		return all
	}
}

var _ = Describe("A signing Secret", func() {
	It("signs only once it is there, labelled and fit", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace, usesKeys))
		delivery := create(ctx, newDeliveryIn(namespace, "a"))
		look := func() { // what the reader of secrets does by itself after 15 s and more
			o.secrets.Forget(webhook.UID)
			annotate(ctx, webhook, "wake", time.Now().String())
		}
		Eventually(ready(ctx, webhook)).Should(Equal("False SecretNotFound"))
		Eventually(state(ctx, delivery)).Should(Equal("Pending SigningSecretUnavailable 0"))
		secret := create(ctx, ownSecret(namespace, func(s *corev1.Secret) { s.Labels, s.Data = nil, map[string][]byte{v1alpha1.SecretKey: []byte("short")} }))
		look()
		Eventually(ready(ctx, webhook)).Should(Equal("False SecretNotFound"), "as if it were not there")
		Consistently(posts(namespace), "200ms").Should(BeZero())
		change(ctx, secret, func(s *corev1.Secret) { s.Labels = map[string]string{v1alpha1.SigningSecretLabel: "true"} })
		look()
		Eventually(ready(ctx, webhook)).Should(Equal("False SecretInvalid"))
		Consistently(posts(namespace), "200ms").Should(BeZero())
		change(ctx, secret, func(s *corev1.Secret) { s.Data[v1alpha1.SecretKey] = []byte(newSecret) })
		Expect(cluster.receiver.Secrets("/"+namespace, newSecret)).To(Succeed())
		look()
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 1"))
		Expect(cluster.receiver.Counts("/" + namespace)).To(Equal(receiver.Counts{Posts: 1, Verified: 1, Unique: 1, Accepted: 1}))
	}, SpecTimeout(soon))

	It("that was restored without its owner is adopted and goes on signing", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		restored := create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: "orders-signing",
				Labels: map[string]string{v1alpha1.SigningSecretLabel: "true", v1alpha1.WebhookLabel: "orders"},
			},
			Data: map[string][]byte{v1alpha1.SecretKey: []byte(newSecret)},
		})
		Expect(cluster.receiver.Secrets("/"+namespace, newSecret)).To(Succeed())
		webhook := create(ctx, newWebhookIn(namespace))
		startOperator(operatorOptions{namespace: namespace})
		delivery := create(ctx, newDeliveryIn(namespace, "a"))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 1"))
		Expect(metav1.IsControlledBy(fresh(ctx, restored), webhook)).To(BeTrue())
		Expect(restored.Data).To(Equal(map[string][]byte{v1alpha1.SecretKey: []byte(newSecret)}))
		Expect(cluster.receiver.Counts("/" + namespace).Verified).To(Equal(1))
	}, SpecTimeout(soon))

	It("that was restored with an owner that is gone is collected, and the webhook gets another", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		webhook := create(ctx, newWebhookIn(namespace))
		restored := create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: "orders-signing",
				Labels: map[string]string{v1alpha1.SigningSecretLabel: "true", v1alpha1.WebhookLabel: "orders"},
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: v1alpha1.GroupVersion.String(), Kind: "Webhook", Name: "orders", UID: "elsewhere", Controller: new(true),
				}},
			},
			Data: map[string][]byte{v1alpha1.SecretKey: []byte(newSecret)},
		})
		Eventually(func() bool {
			return apierrors.IsNotFound(cluster.admin.Get(ctx, client.ObjectKeyFromObject(restored), &corev1.Secret{}))
		}).Should(BeTrue(), "though the webhook is there: it has another uid")
		startOperator(operatorOptions{namespace: namespace})
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		made := &corev1.Secret{}
		Expect(cluster.admin.Get(ctx, client.ObjectKeyFromObject(restored), made)).To(Succeed())
		Expect(metav1.IsControlledBy(made, webhook)).To(BeTrue())
	}, SpecTimeout(soon))

	It("that another client created is not adopted, and the documented way out keeps it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		foreign := create(ctx, ownSecret(namespace, func(s *corev1.Secret) { s.Name = "orders-signing" }))
		webhook := create(ctx, newWebhookIn(namespace))
		o := startOperator(operatorOptions{namespace: namespace})
		Eventually(ready(ctx, webhook)).Should(Equal("False SecretNotPermitted"))
		Expect(fresh(ctx, foreign).OwnerReferences).To(BeEmpty())
		change(ctx, foreign, func(s *corev1.Secret) { s.Labels[v1alpha1.WebhookLabel] = "orders" })
		o.secrets.Forget(webhook.UID)
		annotate(ctx, webhook, "wake", "now")
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		Expect(fresh(ctx, foreign).Data[v1alpha1.SecretKey]).To(BeEquivalentTo(newSecret))
	}, SpecTimeout(soon))

	It("of another Webhook never signs", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(operatorOptions{namespace: namespace})
		owner := create(ctx, newWebhookIn(namespace, func(w *v1alpha1.Webhook) { w.Name = "billing" }))
		Eventually(ready(ctx, owner)).Should(Equal("True Ready"))
		thief := create(ctx, newWebhookIn(namespace, func(w *v1alpha1.Webhook) {
			w.Spec.Signing = &v1alpha1.Signing{SecretRef: &v1alpha1.SecretKeyReference{Name: "billing-signing"}}
		}))
		delivery := create(ctx, newDeliveryIn(namespace, "a"))
		Eventually(ready(ctx, thief)).Should(Equal("False SecretNotPermitted"))
		Eventually(state(ctx, delivery)).Should(Equal("Pending SigningSecretUnavailable 0"))
		Consistently(posts(namespace), "200ms").Should(BeZero())
	}, SpecTimeout(soon))

	It("that is deleted is missed by the first attempt: the webhook's status says so, or a new one is created", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(operatorOptions{namespace: namespace})
		generated := create(ctx, newWebhookIn(namespace))
		own := create(ctx, newWebhookIn(namespace, usesKeys, func(w *v1alpha1.Webhook) { w.Name = "billing" }))
		secret := create(ctx, ownSecret(namespace))
		for _, webhook := range []*v1alpha1.Webhook{generated, own} {
			o.secrets.Forget(webhook.UID)
			annotate(ctx, webhook, "wake", "now")
			Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		}
		Expect(cluster.admin.Delete(ctx, secret)).To(Succeed())
		Expect(cluster.admin.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders-signing"}})).To(Succeed())
		for _, webhook := range []*v1alpha1.Webhook{generated, own} {
			o.secrets.Forget(webhook.UID) // as after 30 s
		}
		first := create(ctx, newDeliveryIn(namespace, "a"))
		second := create(ctx, newDeliveryIn(namespace, "b", func(d *v1alpha1.WebhookDelivery) { d.Spec.WebhookRef.Name = "billing" }))
		Eventually(ready(ctx, own)).Should(Equal("False SecretNotFound"))
		Eventually(state(ctx, second)).Should(Equal("Pending SigningSecretUnavailable 0"))
		Eventually(state(ctx, first)).WithTimeout(2*soon).Should(Equal("Succeeded Delivered 1"), "once it looks again after 15 s")
		Expect(ready(ctx, generated)()).To(Equal("True Ready"))
	}, SpecTimeout(4*soon))

	It("is read again once an endpoint refuses a signature", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		cluster.receiver.Script("/"+namespace, receiver.Step{Fault: receiver.CheckSignature})
		startOperator(operatorOptions{namespace: namespace})
		secret := create(ctx, ownSecret(namespace))
		webhook := create(ctx, newWebhookIn(namespace, usesKeys))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		change(ctx, secret, func(s *corev1.Secret) { s.Data[v1alpha1.SecretKey] = []byte(oldSecret) })
		Expect(cluster.receiver.Secrets("/"+namespace, oldSecret)).To(Succeed())
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "a")))).Should(Equal("Succeeded Delivered 2"))
	}, SpecTimeout(soon))
})

var _ = Describe("Retention", func() {
	limits := RetentionLimits{Succeeded: time.Hour, Failed: time.Hour, MaxCount: 2, MaxBytes: 1 << 20}

	It("deletes what the gateway made, the oldest first, also after a restart", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		webhook := create(ctx, newWebhookIn(namespace))
		first := startOperator(operatorOptions{namespace: namespace})
		create(ctx, newDeliveryIn(namespace, "by-hand"))
		for i := range 5 {
			delivery := create(ctx, newDeliveryIn(namespace, fmt.Sprintf("d%d", i), byGateway(webhook)))
			Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 1"))
		}
		Expect(names(ctx, namespace)()).To(HaveLen(6))
		first.stop()
		startOperator(operatorOptions{namespace: namespace, limits: limits}) // knows them from its list
		Eventually(names(ctx, namespace)).Should(Equal([]string{"by-hand", "d3", "d4"}))
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "d5", byGateway(webhook))))).Should(Equal("Succeeded Delivered 1"))
		Eventually(names(ctx, namespace)).Should(Equal([]string{"by-hand", "d4", "d5"}))
	}, SpecTimeout(soon))

	It("carries out a retry request that arrives just before the delete", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		cluster.receiver.Script("/"+namespace, receiver.Step{Status: 500}, receiver.Step{Status: 200})
		webhook := create(ctx, newWebhookIn(namespace, func(w *v1alpha1.Webhook) { w.Spec.RetryPolicy = delays() }))
		var asked atomic.Bool
		startOperator(operatorOptions{
			namespace: namespace, limits: RetentionLimits{Failed: time.Millisecond, Succeeded: time.Hour, MaxCount: 10, MaxBytes: 1 << 20},
			fault: func(_ int64, verb string, object client.Object) fault {
				if verb == "delete" && asked.CompareAndSwap(false, true) {
					annotate(ctx, object.DeepCopyObject().(client.Object), v1alpha1.RetryRequestedAtAnnotation, "now")
				}
				return carriedOut
			},
		})
		delivery := create(ctx, newDeliveryIn(namespace, "a", byGateway(webhook)))
		Eventually(state(ctx, delivery)).Should(Equal("Succeeded Delivered 2"))
	}, SpecTimeout(soon))

	for _, met := range []fault{failsBefore, failsAfter, conflicts} {
		It("deletes in the end although: "+string(met), func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			webhook := create(ctx, newWebhookIn(namespace))
			var hit atomic.Bool
			o := startOperator(operatorOptions{
				namespace: namespace, limits: RetentionLimits{Succeeded: time.Millisecond, MaxCount: 10, MaxBytes: 1 << 20},
				fault: func(_ int64, verb string, _ client.Object) fault {
					if verb == "delete" && hit.CompareAndSwap(false, true) {
						return met
					}
					return carriedOut
				},
			})
			create(ctx, newDeliveryIn(namespace, "a", byGateway(webhook)))
			Eventually(hit.Load).Should(BeTrue())
			Eventually(names(ctx, namespace)).Should(BeEmpty())
			Eventually(func() float64 { return o.metric("bbmcp_retention_deletes_total", nil) }).Should(Equal(1.0))
		}, SpecTimeout(soon))
	}
})

var _ = Describe("Deleting a Webhook", func() {
	It("deletes its Secret and its deliveries, also those created by hand", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace))
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "by-hand")))).Should(Equal("Succeeded Delivered 1"))
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "a", byGateway(webhook))))).Should(Equal("Succeeded Delivered 1"))
		secret := generated(ctx, webhook)
		Expect(cluster.admin.Delete(ctx, webhook)).To(Succeed())
		Eventually(names(ctx, namespace)).Should(BeEmpty())
		Eventually(func() bool {
			return apierrors.IsNotFound(cluster.admin.Get(ctx, client.ObjectKeyFromObject(secret), secret))
		}).Should(BeTrue())
	}, SpecTimeout(soon))

	It("and creating it anew gives it another Secret and sends no delivery of the old one", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace, func(w *v1alpha1.Webhook) { w.Spec.Suspend = true }))
		Eventually(ready(ctx, webhook)).Should(Equal("True Suspended"))
		old := create(ctx, newDeliveryIn(namespace, "old", byGateway(webhook)))
		before := current(generated(ctx, webhook))
		Expect(cluster.admin.Delete(ctx, webhook)).To(Succeed())
		anew := create(ctx, newWebhookIn(namespace))
		// Left over from the one before, or already gone: in no case sent.
		Eventually(func() bool {
			s := state(ctx, old)()
			return s == "Failed WebhookReplaced 0" || apierrors.IsNotFound(cluster.admin.Get(ctx, client.ObjectKeyFromObject(old), old.DeepCopy()))
		}).Should(BeTrue())
		Eventually(func() string {
			o.secrets.Forget(anew.UID) // what takes 15 s and more
			annotate(ctx, anew, "wake", time.Now().String())
			return ready(ctx, anew)()
		}, soon, 200*time.Millisecond).Should(Equal("True Ready"))
		Expect(current(generated(ctx, anew))).NotTo(Equal(before))
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "new")))).Should(Equal("Succeeded Delivered 1"))
		Expect(posts(namespace)()).To(Equal(1))
	}, SpecTimeout(soon))
})

// patchURL changes a Webhook's url and nothing else.
func patchURL(ctx context.Context, webhook *v1alpha1.Webhook, url string) {
	GinkgoHelper()
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"url":%q}}`, url))
	Expect(cluster.admin.Patch(ctx, webhook.DeepCopy(), patch)).To(Succeed())
}
