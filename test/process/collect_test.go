// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
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
	"bbmcp.quietstack.com/webhooks/test/suite"
)

var _ = Describe("what is no longer needed", func() {
	It("goes with its Webhook: the generated secret and all deliveries", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		t := newTenant(ctx, receiver.Options{})
		startLeader(ctx, supervised())
		hook, stays := t.declare(ctx, "hook"), t.declare(ctx, "stays")
		t.endpoint.Script("/hook", receiver.Step{Times: 50}, receiver.Step{Status: 500})
		t.ready(ctx, hook, stays)
		t.publish(ctx, 120, hook, stays)
		t.publishEdited(ctx, 10, 0, byHand, hook)
		t.waitNone(ctx, "status.state=", suite.Soon)
		t.waitNone(ctx, "status.state=Pending", suite.Soon)

		began := time.Now()
		Expect(cluster.Client.Delete(ctx, hook, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed()) // as kubectl does
		t.waitNone(ctx, "spec.webhookRef.name=hook", time.Minute)
		Eventually(ctx, func() bool {
			err := cluster.Client.Get(ctx, types.NamespacedName{Namespace: t.namespace, Name: "hook-signing"}, &corev1.Secret{})
			return apierrors.IsNotFound(err)
		}).WithTimeout(time.Minute).Should(BeTrue())
		measured("70 deliveries, finished, waiting and made by hand, and the secret were gone after %s", since(began, time.Now()))
		left, err := t.list(ctx, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(left).To(HaveLen(60), "those of the other webhook")
		Expect(cluster.Client.Get(ctx, types.NamespacedName{Namespace: t.namespace, Name: "stays-signing"}, &corev1.Secret{})).To(Succeed())
	})

	It("goes by age, number and bytes, but what was applied by hand stays", SpecTimeout(5*time.Minute), func(ctx SpecContext) {
		const padding, limitBytes, failures, hands = 8 << 10, 1 << 20, 40, 10
		each := size(600, 3000) / 3
		t := newTenant(ctx, receiver.Options{Keep: -1})
		startLeader(ctx, supervised("--retain-bytes=1048576"))
		keeping := func(retention v1alpha1.Retention) func(*v1alpha1.WebhookSpec) {
			return func(spec *v1alpha1.WebhookSpec) { spec.Retention = &retention }
		}
		byAge := t.declare(ctx, "by-age", keeping(v1alpha1.Retention{Succeeded: &metav1.Duration{Duration: 5 * time.Second}}))
		byNumber := t.declare(ctx, "by-number", keeping(v1alpha1.Retention{MaxCount: new(int32(each / 2))}))
		byBytes := t.declare(ctx, "by-bytes")
		byFailure := t.declare(ctx, "by-failure", func(spec *v1alpha1.WebhookSpec) {
			spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{}}
			spec.Retention = &v1alpha1.Retention{Failed: &metav1.Duration{Duration: 5 * time.Second}}
		})
		t.endpoint.Script("/by-failure", receiver.Step{Status: 500})
		all := []*v1alpha1.Webhook{byAge, byNumber, byBytes, byFailure}
		t.ready(ctx, all...)

		began := time.Now()
		t.publishEdited(ctx, hands*len(all), 0, byHand, all...)
		t.publish(ctx, each, byAge)
		t.publish(ctx, each, byNumber)
		t.publish(ctx, failures, byFailure)
		t.publishEdited(ctx, each, padding, func(*v1alpha1.WebhookDelivery) {}, byBytes)
		payload := len(t.delivery(byBytes, padding).Spec.Payload)
		t.waitNone(ctx, "status.state!=Succeeded,status.state!=Failed", 2*time.Minute)
		finished := time.Now()

		type remains struct{ byAge, byNumber, byBytes, byFailure, byHand int }
		want := remains{byNumber: each / 2, byBytes: limitBytes / payload, byHand: hands * len(all)}
		Eventually(ctx, func(ctx context.Context) (remains, error) {
			list, err := t.list(ctx, "")
			have := remains{}
			for i := range list {
				switch hook := list[i].Spec.WebhookRef.Name; {
				case list[i].Labels[v1alpha1.OriginLabel] != v1alpha1.OriginGateway:
					have.byHand++
				case hook == "by-age":
					have.byAge++
				case hook == "by-number":
					have.byNumber++
				case hook == "by-bytes":
					have.byBytes++
				case hook == "by-failure":
					have.byFailure++
				}
			}
			return have, err
		}).WithTimeout(time.Minute).WithPolling(10 * suite.PollEvery).Should(Equal(want))
		measured("%d finished deliveries (all finished after %s) were within their bounds %s later", 3*each+failures,
			since(began, finished), since(finished, time.Now()))
		t.expectVerified()
	})
})
