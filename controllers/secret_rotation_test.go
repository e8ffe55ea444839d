// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// rotating is a Webhook with a generated secret that overlaps for so long.
func rotating(overlap time.Duration) func(*v1alpha1.Webhook) {
	return func(w *v1alpha1.Webhook) {
		w.Spec.Signing = &v1alpha1.Signing{Overlap: duration(overlap)}
		var waits []time.Duration
		for range 8 {
			waits = append(waits, 50*time.Millisecond)
		}
		w.Spec.RetryPolicy = delays(waits...)
	}
}

// generated returns the Webhook's Secret as it is now.
func generated(ctx context.Context, webhook *v1alpha1.Webhook) *corev1.Secret {
	GinkgoHelper()
	return fresh(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: webhook.Namespace, Name: signingsecret.SecretName(webhook)}})
}

func current(secret *corev1.Secret) string { return string(secret.Data[v1alpha1.SecretKey]) }

// rotated asks for a rotation and returns the Secret once it has happened.
func rotated(ctx context.Context, webhook *v1alpha1.Webhook, request string) *corev1.Secret {
	GinkgoHelper()
	annotate(ctx, webhook, v1alpha1.RotateRequestedAtAnnotation, request)
	Eventually(func() string { return fresh(ctx, webhook).Status.LastHandledRotateAt }).Should(Equal(request))
	return generated(ctx, webhook)
}

var _ = Describe("A receiver that knows one secret", func() {
	const overlap = 1500 * time.Millisecond
	// Deliveries arrive all the time, from before the rotation until after the
	// overlap. The receiver answers 401 unless X-BBMCP-Signature is right.
	for about, after := range map[string]time.Duration{
		"switches as soon as it can":          0,
		"switches late in the overlap":        overlap * 2 / 3,
		"switches only when the overlap ends": overlap,
	} {
		It("loses no delivery if it "+about, func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			path := "/" + namespace
			cluster.receiver.Script(path, receiver.Step{Fault: receiver.CheckSignature})
			startOperator(operatorOptions{namespace: namespace})
			webhook := create(ctx, newWebhookIn(namespace, rotating(overlap)))
			Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
			before := generated(ctx, webhook)
			Expect(cluster.receiver.Secrets(path, current(before))).To(Succeed())

			owner := webhook.DeepCopy()
			publishing, stop := context.WithCancel(ctx)
			defer stop()
			var published []*v1alpha1.WebhookDelivery
			done := make(chan struct{})
			go func() {
				defer GinkgoRecover()
				defer close(done)
				for publishing.Err() == nil {
					published = append(published, create(ctx, newDeliveryIn(namespace, fmt.Sprintf("d%d", len(published)), byGateway(owner))))
					select {
					case <-publishing.Done():
					case <-time.After(30 * time.Millisecond):
					}
				}
			}()
			Eventually(func() int { return cluster.receiver.Counts(path).Accepted }).Should(BeNumerically(">=", 3))
			next := rotated(ctx, webhook, "now")
			Expect(string(next.Data[v1alpha1.PreviousSecretKey])).To(Equal(current(before)))
			end, err := time.Parse(time.RFC3339, next.Annotations[v1alpha1.PreviousUntilAnnotation])
			Expect(err).NotTo(HaveOccurred())

			Eventually(time.Now).Should(BeTemporally(">=", end.Add(after-overlap)))
			Expect(cluster.receiver.Secrets(path, current(next))).To(Succeed())
			Eventually(func() map[string][]byte { return generated(ctx, webhook).Data }).
				Should(Equal(map[string][]byte{v1alpha1.SecretKey: next.Data[v1alpha1.SecretKey]}), "the old one is pruned")
			Expect(time.Now()).To(BeTemporally(">=", end))
			stop()
			<-done
			for _, delivery := range published {
				Eventually(state(ctx, delivery)).Should(HavePrefix("Succeeded "))
			}
			counts := cluster.receiver.Counts(path)
			Expect([]int{counts.Unique, counts.Accepted, counts.Duplicates}).To(Equal([]int{len(published), len(published), 0}))
			Expect(fresh(ctx, webhook).Status.Signing).To(Equal(&v1alpha1.SigningStatus{SecretName: "orders-signing"}))
		}, SpecTimeout(soon))
	}
})

var _ = Describe("A rotation", func() {
	It("signs with both secrets, and with the new one first once that was accepted", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		path := "/" + namespace
		cluster.receiver.Script(path, receiver.Step{Fault: receiver.CheckSignature})
		startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace, rotating(time.Hour)))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		old := current(generated(ctx, webhook))
		now := current(rotated(ctx, webhook, "now"))
		Expect(now).NotTo(Equal(old))
		Expect(fresh(ctx, webhook).Status.Signing.Primary).To(Equal(v1alpha1.SigningKeyPrevious))
		Expect(cluster.receiver.Secrets(path, now)).To(Succeed())
		for i, want := range []string{"Succeeded Delivered 2", "Succeeded Delivered 1"} {
			Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, fmt.Sprintf("d%d", i))))).Should(Equal(want))
		}
		Eventually(func() v1alpha1.SigningKey { return fresh(ctx, webhook).Status.Signing.Primary }).Should(Equal(v1alpha1.SigningKeyCurrent))
		type signs struct{ Ours, Next, Standard bool }
		var got []signs
		for _, post := range cluster.receiver.Received(path) {
			got = append(got, signs{post.Ours, post.Next, post.Standard})
			Expect(strings.Fields(post.Header.Get("Webhook-Signature"))).To(HaveLen(2))
		}
		Expect(got).To(Equal([]signs{{false, true, true}, {true, false, true}, {true, false, true}}))

		// The next process knows it from the status.
		startOperator(operatorOptions{namespace: namespace})
		Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "d2")))).Should(Equal("Succeeded Delivered 1"))
	}, SpecTimeout(soon))

	It("within an overlap drops the oldest secret; without one the old", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace, rotating(time.Hour)))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		first := rotated(ctx, webhook, "first")
		second := rotated(ctx, webhook, "second")
		Expect(string(second.Data[v1alpha1.PreviousSecretKey])).To(Equal(current(first)))
		Expect(fresh(ctx, webhook).Status.Signing.Primary).To(Equal(v1alpha1.SigningKeyPrevious))
		change(ctx, webhook, func(w *v1alpha1.Webhook) { w.Spec.Signing.Overlap = duration(0) })
		third := rotated(ctx, webhook, "leaked")
		Expect(third.Data).To(HaveLen(1))
		Expect(current(third)).NotTo(BeElementOf(current(first), current(second)))
		Expect(third.Annotations).NotTo(HaveKey(v1alpha1.PreviousUntilAnnotation))
	}, SpecTimeout(soon))

	It("of a Secret that its owner keeps is refused and changes nothing", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(operatorOptions{namespace: namespace})
		secret := create(ctx, ownSecret(namespace))
		webhook := create(ctx, newWebhookIn(namespace, usesKeys))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		annotate(ctx, webhook, v1alpha1.RotateRequestedAtAnnotation, "now")
		Eventually(func() string { return fresh(ctx, webhook).Status.LastHandledRotateAt }).Should(Equal("now"))
		before := secret.ResourceVersion
		Expect(fresh(ctx, secret).ResourceVersion).To(Equal(before))
	}, SpecTimeout(soon))

	It("replaces a generated secret that is unfit to sign", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		change(ctx, generated(ctx, webhook), func(s *corev1.Secret) { s.Data[v1alpha1.SecretKey] = []byte("short") })
		o.secrets.Invalidate(webhook.UID)
		annotate(ctx, webhook, "wake", "up")
		Eventually(ready(ctx, webhook)).Should(Equal("False SecretInvalid"))
		secret := rotated(ctx, webhook, "now")
		Expect(secret.Data).To(HaveLen(1))
		Expect(current(secret)).To(HavePrefix("whsec_"))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
	}, SpecTimeout(soon))

	for _, met := range []fault{failsBefore, failsAfter, conflicts, diesBefore, diesAfter} {
		It("happens once although: "+string(met), func(ctx SpecContext) {
			var rotations sync.WaitGroup
			for n := range 2 { // the Secret, the Webhook's status
				namespace := newNamespace(ctx)
				rotations.Go(func() {
					defer GinkgoRecover()
					rotateWithFault(ctx, namespace, n, met)
				})
			}
			rotations.Wait()
		}, SpecTimeout(2*soon))
	}
})

func rotateWithFault(ctx context.Context, namespace string, n int, met fault) {
	GinkgoHelper()
	var armed, hit atomic.Bool
	about := fmt.Sprintf("request %d: %s", n, met)
	o := startOperator(operatorOptions{namespace: namespace, fault: func(_ int64, verb string, object client.Object) fault {
		_, isSecret := object.(*corev1.Secret)
		if isSecret == (n == 0) && armed.Load() && hit.CompareAndSwap(false, true) {
			return met
		}
		return carriedOut
	}})
	webhook := create(ctx, newWebhookIn(namespace))
	Eventually(ready(ctx, webhook)).Should(Equal("True Ready"), about)
	before := current(generated(ctx, webhook))
	armed.Store(true)
	annotate(ctx, webhook, v1alpha1.RotateRequestedAtAnnotation, "now")
	Eventually(hit.Load).Should(BeTrue(), about)
	if met == diesBefore || met == diesAfter {
		o.stop()
		startOperator(operatorOptions{namespace: namespace})
	}
	Eventually(func() string { return fresh(ctx, webhook).Status.LastHandledRotateAt }).Should(Equal("now"), about)
	after := generated(ctx, webhook)
	Expect(string(after.Data[v1alpha1.PreviousSecretKey])).To(Equal(before), about)
	annotate(ctx, webhook, "wake", "up")
	Consistently(func() string { return current(generated(ctx, webhook)) }, "200ms").Should(Equal(current(after)), about)
}

// ownSecret is one that a person keeps to sign with.
func ownSecret(namespace string, changes ...func(*corev1.Secret)) *corev1.Secret {
	secret := someSecret(changes...)
	secret.Namespace = namespace
	return secret
}
