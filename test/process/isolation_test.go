// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// More webhooks hang than there are slots, with more than ten times as many
// deliveries behind them, each at an address of its own, so that no bound on a
// single webhook or destination helps. If they could fill the slots, a delivery to a
// healthy webhook would wait for a timeout at least, and for a minute if attempts
// were started in the order in which deliveries came. The bound holds while
// nothing is known of them as well as once they have timed out, and leaves room for a
// machine that is busy with other tests.
var _ = Describe("endpoints that hang, more than there are slots", func() {
	It("delay no delivery to a healthy endpoint", SpecTimeout(6*time.Minute), func(ctx SpecContext) {
		const (
			slots   = 32
			pending = 400
			least   = 150
			every   = 100 * time.Millisecond // times least is longer than some timeouts
			bound   = 3 * time.Second
		)
		var watch stopwatch
		t := newTenant(ctx, receiver.Options{Keep: -1, OnReceived: watch.note})
		startManager(ctx, stack.ManagerOptions{Alone: true, Args: []string{fmt.Sprintf("--unsettled=%d", slots)}})
		healthy := []*v1alpha1.Webhook{t.declare(ctx, "healthy-0"), t.declare(ctx, "healthy-1")}
		t.ready(ctx, healthy...)
		t.publish(ctx, len(healthy), healthy...)
		t.waitSucceeded(ctx, 2*time.Minute)
		endpoints, hanging := hangingWebhooks(ctx, t, slots+4)
		t.publish(ctx, pending, hanging...)
		began := map[string]time.Time{} // by event id
		var creates errgroup.Group
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; n < least || !allPosted(2, endpoints); n++ { // one timed out, the next under way
			delivery := t.delivery(healthy[n%len(healthy)], 0)
			began[delivery.Spec.EventID] = time.Now()
			creates.Go(func() error { return t.create(ctx, delivery) }) // a slow create must not hold up the next
			<-tick.C
		}
		Expect(creates.Wait()).To(Succeed())
		Eventually(ctx, func() int { return len(watch.since(began)) }).WithTimeout(2 * time.Minute).Should(Equal(len(began)))

		left, err := t.list(ctx, "status.state!=Succeeded,status.state!=Failed")
		Expect(err).NotTo(HaveOccurred())
		latencies := watch.since(began)
		paced := len(latencies)
		measured("%d deliveries from creation to POST: p50 %s, p99 %s, longest %s; %d pending beside them, %d slots",
			paced, latencies[paced/2], latencies[paced*99/100], latencies[paced-1], len(left), slots)
		Expect(len(left)).To(BeNumerically(">", 10*slots), "pending deliveries: fewer prove nothing")
		Expect(latencies[paced-1]).To(BeNumerically("<=", bound))
	})
})

// hangingWebhooks declares webhooks of a tenant whose endpoints never answer, and
// returns once they are Ready. Their attempts time out after 5 s.
func hangingWebhooks(ctx SpecContext, t *tenant, n int) (endpoints []*receiver.Receiver, webhooks []*v1alpha1.Webhook) {
	GinkgoHelper()
	for i := range n {
		endpoint, err := receiver.Start(receiver.Options{Listen: fmt.Sprintf("127.1.0.%d:0", i+1), Keep: -1})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(endpoint.Close)
		endpoint.Script("", receiver.Step{Fault: receiver.Hang})
		name := fmt.Sprintf("hanging-%d", i)
		endpoints = append(endpoints, endpoint)
		webhooks = append(webhooks, t.declare(ctx, name, func(spec *v1alpha1.WebhookSpec) {
			spec.URL = endpoint.URL("/" + name)
			spec.RetryPolicy = &v1alpha1.RetryPolicy{Timeout: &metav1.Duration{Duration: 5 * time.Second}}
		}))
	}
	t.ready(ctx, webhooks...)
	return endpoints, webhooks
}

// allPosted reports whether each endpoint has got so many POSTs.
func allPosted(n int, endpoints []*receiver.Receiver) bool {
	return !slices.ContainsFunc(endpoints, func(r *receiver.Receiver) bool { return r.Counts("").Posts < n })
}
