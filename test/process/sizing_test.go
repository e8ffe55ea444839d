// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// weight is memory in use: what the process has from the kernel, and of that
// what its objects took at the last collection.
type weight struct{ resident, heap float64 }

func weigh(ctx context.Context, url string) weight {
	GinkgoHelper()
	samples, err := stack.Scrape(ctx, url)
	Expect(err).NotTo(HaveOccurred())
	// The next collection is due when what was in use has grown by GOGC percent.
	// What is allocated now would be garbage for the most part.
	inUse := samples.Sum("go_memstats_next_gc_bytes") / (1 + samples.Sum("go_gc_gogc_percent")/100)
	return weight{samples.Sum("process_resident_memory_bytes"), inUse}
}

// add takes the least heap and the most resident memory of both.
func (w *weight) add(other weight) {
	w.heap, w.resident = min(w.heap, other.heap), max(w.resident, other.resident)
}

var _ = Describe("deliveries that wait", func() {
	It("take a few KiB each of manager, gateway and etcd", SpecTimeout(8*time.Minute), func(ctx SpecContext) {
		const payload, mebi, per = 900, 1 << 20, 10_000
		n := size(2000, per)
		t := newTenant(ctx, receiver.Options{})
		manager := startLeader(ctx, supervised())
		front := startGateway(ctx, stack.GatewayOptions{Supervise: true})
		hook := t.declare(ctx, "held", func(spec *v1alpha1.WebhookSpec) { spec.Suspend = true })
		t.ready(ctx, hook)
		stored := func() float64 {
			samples, err := cluster.ScrapeAPIServer(ctx)
			Expect(err).NotTo(HaveOccurred())
			return samples.Sum("apiserver_storage_size_bytes")
		}
		before, idle, idleFront := stored(), weigh(ctx, manager.MetricsURL), weigh(ctx, front.MetricsURL)
		t.publishEdited(ctx, n, payload, func(*v1alpha1.WebhookDelivery) {}, hook)
		t.waitNone(ctx, "status.state!=Pending", 2*time.Minute)
		Eventually(ctx, func() (float64, error) {
			samples, err := stack.Scrape(ctx, front.MetricsURL)
			return samples.Sum("bbmcp_gateway_backlog_deliveries"), err
		}).WithTimeout(time.Minute).WithPolling(4 * suite.PollEvery).Should(BeNumerically(">=", n))

		// Of some moments: garbage of a moment may be in use at a collection.
		loaded, loadedFront := weigh(ctx, manager.MetricsURL), weigh(ctx, front.MetricsURL)
		for range 20 {
			pass(ctx, 500*time.Millisecond)
			loaded.add(weigh(ctx, manager.MetricsURL))
			loadedFront.add(weigh(ctx, front.MetricsURL))
		}
		after := stored()
		scale := float64(per) / float64(n) / mebi
		measured("idle: manager %.0f MiB resident, gateway %.0f MiB", idle.resident/mebi, idleFront.resident/mebi)
		measured("per 10,000 pending deliveries of 1 KiB (measured with %d): manager %.0f MiB of heap, %.0f MiB resident; gateway %.0f and %.0f MiB; etcd's file %.0f MiB",
			n, (loaded.heap-idle.heap)*scale, (loaded.resident-idle.resident)*scale,
			(loadedFront.heap-idleFront.heap)*scale, (loadedFront.resident-idleFront.resident)*scale, (after-before)*scale)
		Expect(loaded.heap-idle.heap).To(BeNumerically("<", float64(n)*16*1024), "heap of the manager")
		Expect(loadedFront.heap-idleFront.heap).To(BeNumerically("<", float64(n)*8*1024), "heap of the gateway")
	})
})
