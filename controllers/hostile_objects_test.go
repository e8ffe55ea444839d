// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var _ = Describe("A tenant who may create deliveries", func() {
	It("occupies no slot with a delivery that is being deleted and has a finalizer", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		cluster.receiver.Script("/"+namespace, receiver.Step{Delay: time.Second, Status: 500})
		o := startOperator(operatorOptions{namespace: namespace})
		create(ctx, newWebhookIn(namespace))
		delivery := create(ctx, newDeliveryIn(namespace, "a", func(d *v1alpha1.WebhookDelivery) {
			d.Finalizers = []string{"example.com/stays"}
		}))
		Eventually(func() int { return cluster.receiver.Counts("/" + namespace).Posts }).Should(Equal(1)) // and is answered a second later
		Expect(cluster.admin.Delete(ctx, delivery)).To(Succeed())
		Eventually(o.runner.Stats).Should(And(HaveField("UnderWay", 0), HaveField("Unsettled", 0)))
		Eventually(state(ctx, delivery)).Should(Equal("Retrying RetryScheduled 1"))
		Consistently(func() int { return cluster.receiver.Counts("/" + namespace).Posts }, "500ms").Should(Equal(1))
		change(ctx, delivery, func(d *v1alpha1.WebhookDelivery) { d.Finalizers = nil })
	}, SpecTimeout(soon))

	It("stops no other delivery with one that leaves no room for its status", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		full := fullDelivery(ctx, webhook)
		Eventually(func() int { return cluster.receiver.Counts("/" + namespace).Posts }).Should(Equal(1))
		Eventually(func() float64 { return o.metric("bbmcp_status_writes_total", map[string]string{"result": "refused"}) }).Should(BeNumerically(">", 0))
		Expect(fresh(ctx, full).Status.Attempts).To(BeZero())
		Eventually(o.runner.Stats).Should(And(HaveField("UnderWay", 0), HaveField("Unsettled", 0)))
		other := create(ctx, newDeliveryIn(namespace, "b"))
		Eventually(state(ctx, other)).Should(Equal("Succeeded Delivered 1"))
		Expect(o.runner.Stats().Stalled).To(BeFalse())
	}, SpecTimeout(5*soon))

	It("gets a valid status for any claimed first attempt", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(operatorOptions{namespace: namespace})
		create(ctx, newWebhookIn(namespace))
		for i, first := range []string{
			`{"number":2147483647,"startTime":"0001-01-01T00:00:00.000000Z","reason":"HTTPStatus"}`,
			`{"number":1,"startTime":"0000-01-01T00:00:00.000000Z","reason":"HTTPStatus","durationMilliseconds":9223372036854775807}`,
			`{"number":1,"startTime":"9999-12-31T23:59:59.999999Z","reason":"HTTPStatus","retryAfterTime":"0001-01-01T00:00:00.000000Z"}`,
			`{"number":1,"startTime":"0001-01-01T00:00:00.000000Z"}`,
			`{"number":1,"startTime":"2024-01-01T00:00:00.000000Z","message":"` + strings.Repeat("ü", 256) + `","reason":"` + strings.Repeat("x", 64) + `","answer":"` + strings.Repeat(`\u0001`, 256) + `"}`,
		} {
			object := rawObject("WebhookDelivery", namespace, fmt.Sprintf("n%d", i), []string{"spec", "firstAttempt"}, first)
			Expect(cluster.admin.Create(ctx, object)).To(Succeed())
			delivery := newDeliveryIn(namespace, object.GetName())
			Eventually(state(ctx, delivery)).Should(HavePrefix("Succeeded Delivered"), first)
		}
	}, SpecTimeout(soon))

	It("postpones no deadline by spec.acceptedTime", func() {
		s := deliveryScope{delivery: someDelivery(), webhook: someWebhook(), now: at(73 * hour)}
		s.delivery.Spec.AcceptedTime = micro(1e6 * hour)
		s.delivery.Spec.NotBefore = micro(1e6 * hour)
		Expect(nextDeliveryStatus(s).State).To(Equal(v1alpha1.DeliveryFailed))
	})

	It("makes no metric for a webhook that does not exist", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(operatorOptions{namespace: namespace})
		first := `{"number":1,"startTime":"2024-01-01T00:00:00.000000Z"}`
		object := rawObject("WebhookDelivery", namespace, "a", []string{"spec", "firstAttempt"}, first)
		Expect(unstructured.SetNestedField(object.Object, "nothing", "spec", "webhookRef", "name")).To(Succeed())
		Expect(cluster.admin.Create(ctx, object)).To(Succeed())
		Eventually(state(ctx, newDeliveryIn(namespace, "a"))).Should(HavePrefix("Succeeded"))
		Eventually(func() float64 { return o.metric("bbmcp_deliveries_total", nil) }).Should(Equal(1.0), "counted once it is written")
		Expect(o.metric("bbmcp_deliveries_total", map[string]string{"webhook": "nothing"})).To(BeZero())
	}, SpecTimeout(soon))

	It("sees a delivery fail whose webhook has an invalid name", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(operatorOptions{namespace: namespace, clockAhead: 2 * time.Hour})
		for _, name := range []string{"a/b", "..", ".", "%2f", "A b", strings.Repeat("x", 253)} {
			object := rawObject("WebhookDelivery", namespace, fmt.Sprintf("n%d", cluster.serial.Add(1)), []string{"spec", "webhookRef", "name"}, strconv.Quote(name))
			if err := cluster.admin.Create(ctx, object); apierrors.IsInvalid(err) {
				continue
			}
			Eventually(state(ctx, newDeliveryIn(namespace, object.GetName()))).Should(Equal("Failed WebhookNotFound 0"), name)
		}
	}, SpecTimeout(2*soon))

	It("fills no memory with metadata of deliveries", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(operatorOptions{namespace: namespace})
		delivery := create(ctx, newDeliveryIn(namespace, "a", func(d *v1alpha1.WebhookDelivery) {
			d.Annotations = map[string]string{"example.com/large": strings.Repeat("x", 200<<10), v1alpha1.RetryRequestedAtAnnotation: strings.Repeat("x", 50<<10)}
			d.Labels = map[string]string{"example.com/a": "b", v1alpha1.OriginLabel: v1alpha1.OriginGateway}
		}))
		var cached v1alpha1.WebhookDelivery
		Eventually(func() error { return o.cache.Get(ctx, client.ObjectKeyFromObject(delivery), &cached) }).Should(Succeed())
		text, err := json.Marshal(cached)
		Expect(err).NotTo(HaveOccurred())
		Expect(len(text)).To(BeNumerically("<", 2000))
		Expect(cached.Labels).To(Equal(map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway}))
	}, SpecTimeout(soon))
})

var _ = Describe("A tenant who may annotate webhooks", func() {
	It("gets a rotation for a request of any length", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		long := strings.Repeat("x", 262_100)
		annotate(ctx, webhook, v1alpha1.RotateRequestedAtAnnotation, long)
		Eventually(func() string { return fresh(ctx, webhook).Status.LastHandledRotateAt }).Should(Equal(long[:256]))
		Eventually(func() *v1alpha1.SigningStatus { return fresh(ctx, webhook).Status.Signing }).Should(HaveField("Primary", v1alpha1.SigningKeyPrevious))
	}, SpecTimeout(soon))
})

func TestNoOverlapEndsAfterTheLastYear(t *testing.T) {
	webhook := someWebhook()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: "orders-signing", Labels: map[string]string{v1alpha1.SigningSecretLabel: "true"},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(webhook, v1alpha1.GroupVersion.WithKind("Webhook"))},
			Annotations:     map[string]string{v1alpha1.PreviousUntilAnnotation: "9999-12-31T23:59:59-23:59"},
		},
		Data: map[string][]byte{"secret": []byte("sixteen bytes at least"), "previous": []byte("so has the other one")},
	}
	_, problem := signingsecret.PermittedSecrets(webhook, signingsecret.RefOf(webhook), secret)
	if problem == nil || problem.Reason != v1alpha1.ReasonSecretInvalid {
		t.Errorf("a status that shows the end would never be written; got %+v", problem)
	}
}

// fullDelivery makes a delivery as large as the API server stores one, in the
// webhook's namespace. The size is found out in another one, where no operator
// is at work.
func fullDelivery(ctx context.Context, webhook *v1alpha1.Webhook) *v1alpha1.WebhookDelivery {
	GinkgoHelper()
	build := func(namespace string, padding int) *v1alpha1.WebhookDelivery {
		return newDeliveryIn(namespace, "full", owned(webhook), func(d *v1alpha1.WebhookDelivery) {
			d.OwnerReferences[0].BlockOwnerDeletion = nil
			d.OwnerReferences = append(d.OwnerReferences, metav1.OwnerReference{
				APIVersion: "example.com/v1", Kind: "Padding", UID: "padding", Name: strings.Repeat("x", padding),
			})
		})
	}
	elsewhere := newNamespace(ctx)
	const closeEnough = 256 // a status takes more
	fits, tooMuch := 1<<20, 3<<19
	for fits+closeEnough < tooMuch {
		middle := (fits + tooMuch) / 2
		probe := build(elsewhere, middle)
		if err := cluster.admin.Create(ctx, probe); err != nil {
			Expect(denial.IsTooLarge(err) || apierrors.IsInvalid(err)).To(BeTrue(), "%.200v", err)
			tooMuch = middle
			continue
		}
		fits = middle
		Expect(cluster.admin.Delete(ctx, probe)).To(Succeed())
	}
	const namesMayDiffer = 64
	return create(ctx, build(webhook.Namespace, fits-namesMayDiffer))
}
