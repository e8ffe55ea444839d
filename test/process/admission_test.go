// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/admission"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// Whoever may install admission webhooks for a namespace can keep every status in it
// from being written, by mistake most of the time.
var _ = Describe("an admission webhook of another tenant that is", Ordered, func() {
	stream := size(40, 100)
	var manager *stack.Manager
	var quiet *tenant
	var watch stopwatch
	BeforeAll(func(ctx SpecContext) {
		manager = startLeader(ctx, supervised())
		quiet = newTenant(ctx, receiver.Options{OnReceived: watch.note})
	}, NodeTimeout(time.Minute))

	for _, broken := range []struct {
		how     string
		verdict admission.Verdict
	}{
		{"unreachable", admission.Verdict{HangUp: true}},
		{"slower than anybody waits", admission.Verdict{After: time.Minute}},
		{"slow", admission.Verdict{After: 3 * time.Second}},
		{"broken", admission.Verdict{Broken: 502}},
		{"denying with 400", admission.Deny(400, "not here")},
		{"denying with 403", admission.Deny(403, "not here")},
		{"denying with 404", admission.Deny(404, "not here")},
		{"denying with 409", admission.Deny(409, "not here")},
		{"denying with 422", admission.Deny(422, "not here")},
		{"denying with 429", admission.Deny(429, "not here")},
		{"denying with 503", admission.Deny(503, "not here")},
	} {
		It(broken.how+" stops nobody else, and nothing for ever", SpecTimeout(4*time.Minute), func(ctx SpecContext) {
			const waiting = 60
			hostile := newTenant(ctx, receiver.Options{})
			name := "w" + hostile.namespace
			webhooks := []*v1alpha1.Webhook{hostile.declare(ctx, "one"), hostile.declare(ctx, "two")}
			healthy := quiet.declare(ctx, name)
			hostile.ready(ctx, webhooks...)
			quiet.ready(ctx, healthy)
			server := admission.Start()
			DeferCleanup(server.Close)
			remove, err := server.Install(ctx, cluster.Client, admission.Rule{
				Namespace: hostile.namespace, Seconds: 30,
				Resources: []string{"webhookdeliveries/status", "webhooks/status"},
			})
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(remove, NodeTimeout(time.Minute))

			server.Answer(broken.verdict)
			hostile.publish(ctx, waiting, webhooks...)
			Eventually(ctx, func() int { return len(server.Reviews()) }).Should(BeNumerically(">", 0))
			if broken.how != "slow" { // and nothing else is written meanwhile
				Eventually(ctx, func() (float64, error) {
					samples, err := stack.Scrape(ctx, manager.MetricsURL)
					return samples.Sum("bbmcp_runner_stalled_namespaces"), err
				}).Should(Equal(1.0))
				quiet.publish(ctx, 1, healthy)
				Eventually(ctx, func() int { return quiet.endpoint.Counts("/" + name).Posts }).WithTimeout(2 * time.Second).Should(Equal(1))
			}
			began, asked := time.Now(), len(server.Reviews())
			times := percentiles(publishSteadily(ctx, quiet, &watch, healthy, stream, nil))
			quiet.waitSucceeded(ctx, suite.Soon)
			rate := float64(len(server.Reviews())-asked) / time.Since(began).Seconds()
			measured("%s: the neighbour's %d deliveries: %s; %.1f writes a second were tried in vain", broken.how, stream, times, rate)
			Expect(times.half).To(BeNumerically("<", 500*time.Millisecond))
			Expect(times.most).To(BeNumerically("<", 2*time.Second))
			samples, err := stack.Scrape(ctx, manager.MetricsURL)
			Expect(err).NotTo(HaveOccurred())
			Expect(samples.Sum("bbmcp_runner_stalled")).To(BeZero())
			if broken.how != "slow" { // which is written, late
				Expect(samples.Sum("bbmcp_runner_stalled_namespaces")).To(Equal(1.0))
				Expect(rate).To(BeNumerically("<", 5))
			}

			server.Allow()
			hostile.waitSucceeded(ctx, time.Minute)
			Expect(hostile.endpoint.Counts("").Posts).To(Equal(waiting), "each was sent once")
			Eventually(ctx, func() (float64, error) {
				samples, err := stack.Scrape(ctx, manager.MetricsURL)
				return samples.Sum("bbmcp_runner_stalled_namespaces") + samples.Sum("bbmcp_runner_stranded"), err
			}).Should(BeZero())
			Expect(server.Count("webhookdeliveries/status", admissionv1.Update)).To(BeNumerically(">=", waiting))
		})
	}
})
