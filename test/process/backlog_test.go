// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// stopwatch tells how long each delivery took from the API server's yes to its
// first POST.
type stopwatch struct {
	mu    sync.Mutex
	first map[string]time.Time
}

func (s *stopwatch) note(one receiver.Received) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = map[string]time.Time{}
	}
	if _, ok := s.first[one.EventID]; !ok {
		s.first[one.EventID] = one.At
	}
}

// latencies returns how long the deliveries of a tenant took that have arrived,
// shortest first.
func (s *stopwatch) latencies(t *tenant) []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return s.since(t.created)
}

// since returns how long deliveries took that have arrived, shortest first, from
// the times that began has by event id.
func (s *stopwatch) since(began map[string]time.Time) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []time.Duration
	for eventID, at := range s.first {
		if start, ok := began[eventID]; ok {
			all = append(all, max(0, at.Sub(start)))
		}
	}
	slices.Sort(all)
	return all
}

func (t *tenant) forgetTimes() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.created)
}

var _ = Describe("a restart with a backlog", func() {
	It("lets new deliveries through at once", SpecTimeout(5*time.Minute), func(ctx SpecContext) {
		const fresh = 8
		overdue := size(600, 5000)
		var watch stopwatch
		t := newTenant(ctx, receiver.Options{Keep: -1, OnReceived: watch.note})
		leader := startLeader(ctx, quick())
		var stuck []*v1alpha1.Webhook
		for i := range 5 {
			name := fmt.Sprintf("stuck-%d", i)
			t.endpoint.Script("/"+name, receiver.Step{Fault: receiver.Hang})
			stuck = append(stuck, t.declare(ctx, name))
		}
		healthy := t.declare(ctx, "healthy")
		t.ready(ctx, append(stuck, healthy)...)
		leader.Process.Stop(0)
		t.publish(ctx, overdue, stuck...)
		t.forgetTimes()
		DeferCleanup(func(ctx SpecContext) { // they would occupy the managers of other specs
			leader.Process.Stop(0)
			Expect(cluster.Client.DeleteAllOf(ctx, &v1alpha1.WebhookDelivery{}, client.InNamespace(t.namespace))).To(Succeed())
		}, NodeTimeout(2*time.Minute))

		Expect(leader.Restart(ctx)).To(Succeed())
		waitLeads(ctx, leader)
		for n := range fresh {
			t.publish(ctx, 1, healthy)
			arrived := func(c receiver.Counts) bool { return c.Posts > n }
			limited, cancel := context.WithTimeout(ctx, suite.Soon)
			Expect(t.endpoint.Wait(limited, "/healthy", arrived)).To(Succeed())
			cancel()
		}
		latencies := watch.latencies(t)
		measured("%d overdue deliveries to endpoints that hang; new ones to a healthy endpoint arrived after %v", overdue, latencies)
		Expect(latencies).To(HaveLen(fresh))
		Expect(latencies[fresh-1]).To(BeNumerically("<", 2*time.Second))
		t.expectVerified()
	})
})
