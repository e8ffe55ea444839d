// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/collector"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

const (
	traceID    = "0af7651916cd43dd8448eb211c80319c"
	callerSpan = "b7ad6b7169203331"
	caller     = "00-" + traceID + "-" + callerSpan + "-01"
)

// wantsTraces makes a webhook be told where it is in a trace, and be tried again
// soon.
func wantsTraces(spec *v1alpha1.WebhookSpec) {
	spec.SendTraceParent = true
	spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{{Duration: 500 * time.Millisecond}, {Duration: 4 * time.Second}}}
}

var _ = Describe("traces", func() {
	It("link an event's attempts over retries, processes and a restart, and hold no secret", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		traces, err := collector.Start()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(traces.Close)
		t := newTenant(ctx, receiver.Options{})
		options := quick()
		options.Env = traces.Env("grpc")
		leader := startLeader(ctx, options)
		flaky, silent := t.declare(ctx, "flaky", wantsTraces), t.declare(ctx, "silent")
		t.ready(ctx, flaky, silent)
		secrets := append(t.share(ctx, flaky), t.share(ctx, silent)...)
		e := newEmitterOf(ctx, t, stack.GatewayOptions{
			Supervise: true, Args: []string{"--allow-unregistered-event-types"}, Env: traces.Env("http/protobuf"),
		})
		Eventually(ctx, func() []string { return e.publish(ctx, "wait=5") }).Should(HaveExactElements(rest.DeliverySucceeded, rest.DeliverySucceeded))
		t.waitSucceeded(ctx, suite.Soon)

		// The gateway makes the first attempt, one manager the second, another the third.
		before := t.endpoint.Counts("/flaky").Posts
		t.endpoint.Script("/flaky", receiver.Step{Times: 2, Status: 500}, receiver.Step{})
		e.header = http.Header{"Traceparent": {caller}}
		status, answer := e.post(ctx, "traced-payload", "wait=5")
		Expect(status).To(Equal(http.StatusAccepted), answer)
		second := func(c receiver.Counts) bool { return c.Posts >= before+2 }
		Expect(t.endpoint.Wait(ctx, "/flaky", second)).To(Succeed())
		t.waitNone(ctx, "spec.webhookRef.name=flaky,status.state=Pending", suite.Soon)
		leader.Stop()
		Expect(leader.StartDispatcher()).To(Succeed())
		Expect(leader.Restart(ctx)).To(Succeed())
		t.waitNone(ctx, "spec.webhookRef.name=flaky,status.state!=Succeeded", suite.Soon)

		attempts := func(webhook string) (all []collector.Span) {
			for _, span := range traces.Trace(traceID) {
				if span.Name == "POST" && span.Attributes["bbmcp.webhook.name"] == webhook {
					all = append(all, span)
				}
			}
			return all
		}
		Eventually(ctx, func() []collector.Span { return attempts("flaky") }).Should(HaveLen(3))
		Eventually(ctx, func() []collector.Span { return attempts("silent") }).Should(HaveLen(1))

		published := traces.Trace(traceID)[indexOf(traces.Trace(traceID), "publish order.created")]
		want := collector.Span{
			Service: "bbmcp-gateway", Name: "publish order.created", Kind: "SPAN_KIND_PRODUCER", TraceID: traceID, ParentID: callerSpan,
			SpanID: published.SpanID, Attributes: map[string]string{
				"messaging.system": "bbmcp-webhooks", "messaging.operation.type": "send", "messaging.operation.name": "publish",
				"messaging.destination.name": "order.created", "messaging.message.id": "traced-payload",
				"k8s.namespace.name": t.namespace, "bbmcp.deliveries": "2",
			},
		}
		Expect(published).To(Equal(want))
		endpoint, err := url.Parse(t.endpoint.URL("/"))
		Expect(err).NotTo(HaveOccurred())
		got := t.endpoint.Received("/flaky")[before:]
		for i, span := range attempts("flaky") {
			Expect(span.ParentID).To(Equal(published.SpanID))
			Expect(span.Links).To(Equal([]string{published.SpanID}))
			Expect(span.Kind).To(Equal("SPAN_KIND_CLIENT"))
			Expect(span.Service).To(Equal([]string{"bbmcp-gateway", "bbmcp-manager", "bbmcp-manager"}[i]))
			Expect(span.Failed).To(Equal(i < 2))
			attributes := map[string]string{
				"http.request.method": "POST", "http.response.status_code": []string{"500", "500", "200"}[i],
				"server.address": endpoint.Hostname(), "server.port": endpoint.Port(), "url.scheme": "http",
				"messaging.system": "bbmcp-webhooks", "messaging.message.id": "traced-payload", "messaging.destination.name": "order.created",
				"k8s.namespace.name": t.namespace, "bbmcp.webhook.name": "flaky", "bbmcp.delivery.id": got[i].Delivery,
				"bbmcp.attempt": got[i].Attempt,
			}
			if i > 0 {
				attributes["http.request.resend_count"] = []string{"", "1", "2"}[i]
			}
			if i < 2 {
				attributes["error.type"] = "500"
			}
			Expect(span.Attributes).To(Equal(attributes))
			Expect(got[i].Header.Values("traceparent")).To(Equal([]string{"00-" + traceID + "-" + span.SpanID + "-01"}))
		}
		Expect(t.endpoint.Received("/silent")[0].Header).NotTo(HaveKey("Traceparent"), "it did not ask for it")

		raw := traces.Raw()
		Expect(raw).To(ContainSubstring("bbmcp.webhook.name"), "the search looks at these very spans")
		Expect(found(raw, append(secrets, e.token))).To(BeEmpty())
		Expect(found(raw, signatures(t))).To(BeEmpty())
		for _, text := range []string{"/flaky", "/silent", `"id"`, "timestamp"} {
			Expect(raw).NotTo(ContainSubstring(text), "paths and payloads stay out")
		}
		t.expectVerified()
	})

	It("are made by nobody unless asked for; a publisher's goes on where the webhook wants it", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		t := newTenant(ctx, receiver.Options{})
		startLeader(ctx, supervised())
		t.ready(ctx, t.declare(ctx, "wants", wantsTraces), t.declare(ctx, "silent"))
		t.endpoint.Script("/wants", receiver.Step{Status: 500}, receiver.Step{})
		e := newEmitter(ctx, t)
		for id, header := range map[string]http.Header{
			"with": {"Traceparent": {caller}}, "without": {},
			"broken": {"Traceparent": {"00-" + strings.ToUpper(traceID) + "-" + callerSpan + "-01"}}, "twice": {"Traceparent": {caller, caller}},
		} {
			e.header = header
			status, answer := e.post(ctx, id, "wait=5")
			Expect(status).To(Equal(http.StatusAccepted), answer)
		}
		t.waitSucceeded(ctx, suite.Soon)
		seen := map[string]int{}
		for _, one := range t.endpoint.Received("") {
			if one.Header.Get("traceparent") == "" {
				continue
			}
			seen[one.Path+" "+one.EventID]++
			Expect(one.Header.Values("traceparent")).To(Equal([]string{caller}))
		}
		Expect(seen).To(HaveKey("/wants with"))
		Expect(seen).To(HaveLen(1), "nobody else is told: %v", seen)
	})
})

func indexOf(spans []collector.Span, name string) int {
	for i, span := range spans {
		if span.Name == name {
			return i
		}
	}
	return 0
}
