// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// stored is the number of a namespace's deliveries and their bytes as JSON.
func (t *tenant) stored(ctx context.Context) (count int, bytes int64, err error) {
	list, err := t.list(ctx, "")
	for i := range list {
		text, err := json.Marshal(&list[i])
		if err != nil {
			return 0, 0, err
		}
		bytes += int64(len(text))
	}
	return len(list), bytes, err
}

var _ = Describe("webhooks that fail by the dozen", func() {
	It("leave their namespace's room to the largest, and their neighbours all of theirs", SpecTimeout(5*time.Minute), func(ctx SpecContext) {
		const padding, room, hooks, each, small = 255 << 10, 8 << 20, 8, 12, 5
		never := func(spec *v1alpha1.WebhookSpec) {
			spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{}}
			spec.Retention = &v1alpha1.Retention{Failed: &metav1.Duration{Duration: 720 * time.Hour}}
		}
		t, neighbour := newTenant(ctx, receiver.Options{Keep: -1}), newTenant(ctx, receiver.Options{Keep: -1})
		declare := func(t *tenant, name string) *v1alpha1.Webhook {
			t.endpoint.Script("/"+name, receiver.Step{Status: 500})
			return t.declare(ctx, name, never)
		}
		var all []*v1alpha1.Webhook
		for i := range hooks {
			all = append(all, declare(t, fmt.Sprintf("hook-%d", i)))
		}
		modest, theirs := declare(t, "modest"), declare(neighbour, "theirs")
		unbounded := startLeader(ctx, supervised("--retain-bytes-per-namespace=0", "--retain-bytes-total=0"))
		t.ready(ctx, append(all, modest)...)
		neighbour.ready(ctx, theirs)

		t.publishEdited(ctx, hooks*each, padding, func(*v1alpha1.WebhookDelivery) {}, all...)
		t.publish(ctx, small, modest)
		neighbour.publish(ctx, small, theirs)
		t.waitNone(ctx, "status.state!=Failed", 2*time.Minute)
		neighbour.waitNone(ctx, "status.state!=Failed", time.Minute)
		count, before, err := t.stored(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(count).To(Equal(hooks*each+small), "no bound, nothing goes")
		unbounded.Stop()

		startLeader(ctx, supervised(fmt.Sprintf("--retain-bytes-per-namespace=%d", room)))
		began := time.Now()
		var after int64
		Eventually(ctx, func() (_ int64, err error) {
			count, after, err = t.stored(ctx)
			return after, err
		}).WithTimeout(time.Minute).WithPolling(10 * suite.PollEvery).Should(BeNumerically("<=", room))
		measured("%d webhooks with %d failed deliveries of 256 KiB each, kept for 720h: %.1f MiB stored; with a room of %d MiB for the namespace %.1f MiB, %s later",
			hooks, each, float64(before)/(1<<20), room>>20, float64(after)/(1<<20), since(began, time.Now()))
		Expect(after).To(BeNumerically(">", room/2), "the room is used")
		kept, err := t.list(ctx, v1alpha1.FieldWebhookName+"=modest")
		Expect(err).NotTo(HaveOccurred())
		Expect(kept).To(HaveLen(small), "those with less keep everything")
		Expect(neighbour.list(ctx, "")).To(HaveLen(small))

		Eventually(ctx, func() (gone int64, err error) {
			for _, hook := range all {
				if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(hook), hook); err != nil {
					return 0, err
				}
				gone += hook.Status.DeliveriesDeletedEarly
			}
			return gone, nil
		}).WithTimeout(2*time.Minute).WithPolling(10*suite.PollEvery).Should(BeNumerically("==", hooks*each+small-count), "each is counted on its webhook")
		var events eventsv1.EventList
		Expect(cluster.Client.List(ctx, &events, client.InNamespace(t.namespace))).To(Succeed())
		Expect(events.Items).To(ContainElement(And(
			HaveField("Reason", "FailedDeliveriesDeleted"), HaveField("Type", "Warning"), HaveField("Note", ContainSubstring("--retain-bytes-per-namespace")))))
	})
})
