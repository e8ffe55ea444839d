// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// requests are what the API server has been asked about deliveries.
type requests struct{ creates, statusUpdates, updates, patches, deletes, gets float64 }

func deliveryRequests(ctx context.Context) requests {
	GinkgoHelper()
	samples, err := cluster.ScrapeAPIServer(ctx)
	Expect(err).NotTo(HaveOccurred())
	count := func(verb, subresource string) float64 {
		return samples.Sum("apiserver_request_total", "resource", "webhookdeliveries", "verb", verb, "subresource", subresource)
	}
	return requests{
		creates: count("POST", ""), statusUpdates: count("PUT", "status"), updates: count("PUT", ""),
		patches: count("PATCH", "") + count("PATCH", "status"), deletes: count("DELETE", ""), gets: count("GET", ""),
	}
}

func (r requests) minus(other requests) requests {
	return requests{
		creates: r.creates - other.creates, statusUpdates: r.statusUpdates - other.statusUpdates, updates: r.updates - other.updates,
		patches: r.patches - other.patches, deletes: r.deletes - other.deletes, gets: r.gets - other.gets,
	}
}

var _ = Describe("what deliveries cost", func() {
	It("is one create and one status write for one that succeeds at once", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		const batch = 200
		t := newTenant(ctx, receiver.Options{})
		startLeader(ctx, supervised())
		hook := t.declare(ctx, "hook")
		t.ready(ctx, hook)
		before := deliveryRequests(ctx)
		t.publish(ctx, batch, hook)
		t.waitSucceeded(ctx, time.Minute)
		cost := deliveryRequests(ctx).minus(before)
		measured("%d deliveries: %+v", batch, cost)
		Expect(cost).To(Equal(requests{creates: batch, statusUpdates: batch}))
		t.expectVerified()
	})

	It("leaves no goroutine and no file behind", SpecTimeout(4*time.Minute), func(ctx SpecContext) {
		t := newTenant(ctx, receiver.Options{Keep: -1})
		manager := startLeader(ctx, supervised())
		good := t.declare(ctx, "good")
		bad := t.declare(ctx, "bad", func(spec *v1alpha1.WebhookSpec) {
			spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{}}
		})
		t.endpoint.Script("/good", receiver.Step{Delay: 10 * time.Millisecond})
		t.endpoint.Script("/bad", receiver.Step{Fault: receiver.ResetInHeaders})
		t.ready(ctx, good, bad)
		round := func() {
			t.publish(ctx, 200, good, bad)
			t.waitNone(ctx, "status.state!=Succeeded,status.state!=Failed", time.Minute)
		}
		round()
		base := held(ctx, manager)
		for range size(2, 10) {
			round()
		}
		after := held(ctx, manager)
		measured("goroutines and open files of manager and dispatcher: %v after one round, %v after the last", base, after)
		Eventually(ctx, func() bool {
			after = held(ctx, manager)
			for i := range after {
				if after[i] > base[i]+16 {
					return false
				}
			}
			return true
		}).WithTimeout(2*time.Minute).WithPolling(10*suite.PollEvery).Should(BeTrue(), "at first %v, still %v", base, &after)
		t.expectVerified()
	})
})

// held are goroutines and open files of manager and dispatcher, in turn.
func held(ctx context.Context, manager *stack.Manager) [4]float64 {
	GinkgoHelper()
	var all [4]float64
	for i, url := range []string{manager.MetricsURL, manager.DispatcherMetricsURL} {
		samples, err := stack.Scrape(ctx, url)
		Expect(err).NotTo(HaveOccurred())
		all[2*i], all[2*i+1] = samples.Sum("go_goroutines"), samples.Sum("process_open_fds")
		Expect(all[2*i+1]).To(BeNumerically(">", 0))
	}
	return all
}
