// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// What is known of a webhook goes with it, whatever was under way.
var _ = Describe("Webhooks that are created and deleted with attempts under way", func() {
	It("leave no entry in any table", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		cluster.receiver.Script("/"+namespace, receiver.Step{Delay: 300 * time.Millisecond, Status: 429, Header: map[string]string{"Retry-After": "1"}})
		o := startOperator(operatorOptions{namespace: namespace})
		for round := range 3 {
			var webhooks []*v1alpha1.Webhook
			for i := range 10 {
				webhook := create(ctx, newWebhookIn(namespace, func(w *v1alpha1.Webhook) {
					w.Name = fmt.Sprintf("w%d-%d", round, i)
					w.Annotations = map[string]string{v1alpha1.EnableRequestedAtAnnotation: ""}
				}))
				create(ctx, newDeliveryIn(namespace, webhook.Name, func(d *v1alpha1.WebhookDelivery) {
					d.Spec.WebhookRef.Name = webhook.Name
					d.Spec.TTLAfterFinished = duration(hour)
				}))
				webhooks = append(webhooks, webhook)
			}
			Eventually(func() int { return cluster.receiver.Counts("/" + namespace).Posts }).Should(BeNumerically(">=", 10*(round+1)))
			for _, webhook := range webhooks {
				Expect(cluster.admin.Delete(ctx, webhook)).To(Succeed())
			}
		}
		Eventually(func() int {
			var list v1alpha1.WebhookDeliveryList
			Expect(cluster.admin.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
			return len(list.Items)
		}).Should(BeZero())
		Eventually(o.leftovers).Should(BeEmpty())
	}, SpecTimeout(2*soon))
})

// leftovers counts what an operator still knows of webhooks and deliveries.
func (o *operator) leftovers() map[string]int {
	counts := map[string]int{}
	note := func(what string, n int) {
		if n > 0 {
			counts[what] = n
		}
	}
	o.observations.mu.Lock()
	note("observations", len(o.observations.webhooks))
	o.observations.mu.Unlock()
	note("secrets", o.secrets.Size())
	memory := o.deliveries.pending
	memory.mu.Lock()
	note("written", len(memory.written))
	note("owed", len(memory.deferred))
	note("refused", len(memory.refusedSince))
	note("doubted", len(memory.unconfirmed))
	memory.mu.Unlock()
	for what, known := range map[string]*sync.Map{
		"status writes": &o.webhooks.lastWrites, "failing": &o.webhooks.lastFailing, "unanswered": &o.webhooks.unconfirmed,
		"refusals": &o.webhooks.refusals, "empty requests": &o.webhooks.emptyReported,
	} {
		known.Range(func(any, any) bool {
			note(what, counts[what]+1)
			return true
		})
	}
	o.webhooks.counterThrottle.mu.Lock()
	note("turns", len(o.webhooks.counterThrottle.due))
	o.webhooks.counterThrottle.mu.Unlock()
	o.retainer.mu.Lock()
	note("finished", len(o.retainer.byUID))
	o.retainer.mu.Unlock()
	stats := o.runner.Stats()
	note("queued", stats.Queued)
	note("unsettled", stats.Unsettled)
	note("held webhooks", stats.Held)
	for state, of := range stats.States {
		note(fmt.Sprint("webhooks in state ", state), of.Webhooks)
	}
	families, err := o.registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	for _, family := range families {
		for _, sample := range family.GetMetric() {
			for _, label := range sample.GetLabel() {
				if label.GetName() == "webhook" && label.GetValue() != "" {
					note("series of "+family.GetName(), counts["series of "+family.GetName()]+1)
				}
			}
		}
	}
	return counts
}
