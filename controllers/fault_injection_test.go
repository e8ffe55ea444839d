// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// lifeWrites is how many requests that change something the life below takes:
// the Secret, the Webhook's first status, the delivery's owner, its status after
// each of two attempts, and the Webhook's status after the first outcome.
const lifeWrites = 6

// A Webhook and a delivery by hand whose first attempt is refused and whose
// second is taken; at each request in turn something goes wrong.
var _ = Describe("The life of a delivery in which one request meets a fault", func() {
	for _, met := range []fault{failsBefore, failsAfter, conflicts, diesBefore, diesAfter} {
		It(string(met), func(ctx SpecContext) {
			var lives sync.WaitGroup
			for n := int64(1); n <= lifeWrites+1; n++ { // the last one meets nothing
				namespace := newNamespace(ctx)
				lives.Go(func() {
					defer GinkgoRecover()
					liveWithFault(ctx, namespace, n, met)
				})
			}
			lives.Wait()
		}, SpecTimeout(2*soon))
	}
})

func liveWithFault(ctx context.Context, namespace string, n int64, met fault) {
	GinkgoHelper()
	cluster.receiver.Script("/"+namespace, receiver.Step{Status: 500}, receiver.Step{Status: 200})
	o := startOperator(operatorOptions{namespace: namespace, fault: func(number int64, _ string, _ client.Object) fault {
		if number == n {
			return met
		}
		return carriedOut
	}})
	webhook := create(ctx, newWebhookIn(namespace))
	delivery := create(ctx, newDeliveryIn(namespace, "a"))
	dies := met == diesBefore || met == diesAfter
	about := fmt.Sprintf("request %d: %s", n, met)
	done := func() bool { return fresh(ctx, delivery).Status.State == v1alpha1.DeliverySucceeded }
	if dies {
		Eventually(func() bool { return o.dead.Load() || done() }).Should(BeTrue(), about)
		o.stop()
		o = startOperator(operatorOptions{namespace: namespace})
	}
	Eventually(done).Should(BeTrue(), about)
	Eventually(func() bool { return fresh(ctx, webhook).Status.LastSuccessTime != nil }).Should(BeTrue(), about)

	counts := cluster.receiver.Counts("/" + namespace)
	Expect(counts.Accepted).To(Equal(1), about)
	if dies {
		Expect(counts.Repeated).To(BeNumerically("<=", 1), about)
	} else {
		Expect(counts).To(Equal(receiver.Counts{Posts: 2, Unique: 1, Accepted: 1}), about)
		Expect(delivery.Status.Attempts).To(Equal(int32(2)), about)
		Eventually(func() int64 { // counted, and at most a minute later written
			return fresh(ctx, webhook).Status.DeliveriesSucceeded + o.observations.snapshot(webhook).succeeded
		}).Should(Equal(int64(1)), about)
		Eventually(o.runner.Stats).Should(HaveField("Unsettled", 0), about)
		Eventually(func() float64 { return o.metric("bbmcp_deliveries_total", map[string]string{"outcome": "succeeded"}) }).Should(Equal(1.0), about)
		Expect(o.metric("bbmcp_attempts_total", nil)).To(Equal(2.0), about)
	}
	Expect(delivery.OwnerReferences).To(HaveLen(1), about)
	Expect(delivery.OwnerReferences[0].UID).To(Equal(webhook.UID), about)
	var secrets corev1.SecretList
	Expect(cluster.admin.List(ctx, &secrets, client.InNamespace(namespace))).To(Succeed())
	Expect(secrets.Items).To(HaveLen(1), about)
}
