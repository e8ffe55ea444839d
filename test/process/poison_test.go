// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

var _ = Describe("a payload that kills the dispatcher", func() {
	It("ends as DispatcherLost and delays nobody else", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		const stream = 120
		var watch stopwatch
		var manager *stack.Manager
		t := newTenant(ctx, receiver.Options{OnReceived: func(one receiver.Received) {
			if one.Path == "/poison" {
				manager.Dispatcher().Stop(0) // as a crash does, while it waits for the answer
				return
			}
			watch.note(one)
		}})
		manager = startLeader(ctx, supervised())
		poison := t.declare(ctx, "poison", func(spec *v1alpha1.WebhookSpec) {
			spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{}}
		})
		healthy := t.declare(ctx, "healthy")
		t.endpoint.Script("/healthy", receiver.Step{Delay: 100 * time.Millisecond})
		t.ready(ctx, poison, healthy)

		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for n := range stream {
			if n == stream/4 {
				t.publish(ctx, 1, poison)
			}
			t.publish(ctx, 1, healthy)
			<-tick.C
		}
		t.waitNone(ctx, "status.state=", suite.Soon)
		t.waitNone(ctx, "spec.webhookRef.name=healthy,status.state!=Succeeded", suite.Soon)
		t.waitNone(ctx, "spec.webhookRef.name=poison,status.state!=Failed", suite.Soon)

		list, err := t.list(ctx, "spec.webhookRef.name=poison")
		Expect(err).NotTo(HaveOccurred())
		condition := meta.FindStatusCondition(list[0].Status.Conditions, v1alpha1.ConditionSucceeded)
		latencies := watch.latencies(t)
		measured("the dispatcher died %d times; of %d others half arrived within %s, 95%% within %s, all within %s; %d twice",
			t.endpoint.Counts("/poison").Posts, stream, latencies[stream/2], latencies[stream*95/100], latencies[stream-1],
			t.endpoint.Counts("/healthy").Repeated)
		Expect(condition.Reason).To(Equal(v1alpha1.ReasonDispatcherLost))
		Expect(list[0].Status.Attempts).To(BeEquivalentTo(1), "three losses are one attempt")
		Expect(t.endpoint.Counts("/poison").Posts).To(Equal(3))
		Expect(latencies).To(HaveLen(stream))
		Expect(latencies[stream-1]).To(BeNumerically("<", 2*time.Second))
		t.expectVerified()
	})
})
