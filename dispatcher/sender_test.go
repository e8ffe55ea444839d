// SPDX-License-Identifier: Apache-2.0

package dispatcher_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var _ = Describe("An attempt", func() {
	It("sends the payload as it is, signed, with the headers of the contract", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		result := newSender(dispatcher.SenderOptions{}).Send(ctx, attemptAt(r.URL("/hook?a=b")))
		Expect(result.Succeeded()).To(BeTrue(), "%+v", result)
		Expect(result.Message).To(BeEmpty())
		Expect(result.Duration).To(And(BeNumerically(">", 0), BeNumerically("<", 5*time.Second)))

		got := r.Received("")
		Expect(got).To(HaveLen(1))
		Expect(got[0].Body).To(Equal(payload))
		Expect(got[0].Verified()).To(BeTrue())
		header := got[0].Header
		Expect(header).To(HaveKeyWithValue("Webhook-Timestamp", HaveLen(1)))
		Expect(header).To(HaveKeyWithValue("X-Bbmcp-Signature", ConsistOf(MatchRegexp("^[0-9a-f]{64}$"))))
		Expect(header).To(HaveKeyWithValue("Webhook-Signature", ConsistOf(MatchRegexp("^v1,[A-Za-z0-9+/]{43}=$"))))
		for _, name := range []string{"Webhook-Timestamp", "X-Bbmcp-Signature", "Webhook-Signature"} {
			header.Del(name)
		}
		Expect(header).To(Equal(http.Header{
			"Content-Type": {"application/json"}, "Accept": {"*/*"}, "Content-Length": {"84"}, "User-Agent": {"BBMCP-Webhooks/test"},
			"X-Bbmcp-Event": {"context.created"}, "X-Bbmcp-Delivery": {"dlv_1"}, "X-Bbmcp-Attempt": {"1"}, "Webhook-Id": {"evt_1"},
		}))
	})

	It("marks tests, carries the trace and signs twice while a rotation overlaps", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		Expect(r.Secrets("/old", secretText)).To(Succeed())
		Expect(r.Secrets("/new", otherText)).To(Succeed())
		sender := newSender(dispatcher.SenderOptions{})
		for _, path := range []string{"/old", "/new"} {
			request := attemptAt(r.URL(path))
			request.Attempt, request.Test, request.TraceParent = 3, true, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
			request.Keys.Secondary = signature.NewSecret(otherText)
			Expect(sender.Send(ctx, request).Succeeded()).To(BeTrue())
		}
		old, next := r.Received("/old")[0], r.Received("/new")[0]
		Expect([]bool{old.Ours, old.Next, old.Standard}).To(Equal([]bool{true, false, true}), "who knows the primary alone")
		Expect([]bool{next.Ours, next.Next, next.Standard}).To(Equal([]bool{false, true, true}), "who knows the other alone")
		Expect(old.Header).To(And(
			HaveKeyWithValue("X-Bbmcp-Test", []string{"true"}), HaveKeyWithValue("X-Bbmcp-Attempt", []string{"3"}),
			HaveKeyWithValue("Traceparent", []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}),
		))
	})

	It("speaks HTTP/2 over TLS and tells when the certificate expires", func(ctx SpecContext) {
		expires := time.Now().Add(90 * time.Minute).Truncate(time.Second)
		authority, certificate := issued(expires, "127.0.0.1")
		r := startReceiver(receiver.Options{Certificate: certificate})
		sender := newSender(dispatcher.SenderOptions{RootCAs: authority.Pool(), Policy: netguard.New(netguard.Options{Allow: loopback()})})
		first, second := sender.Send(ctx, attemptAt(r.URL("/"))), sender.Send(ctx, attemptAt(r.URL("/")))
		Expect(first.Succeeded()).To(BeTrue(), "%+v", first)
		Expect(first.CertificateNotAfter).To(BeTemporally("==", expires))
		Expect(first.Timings).To(And(HaveField("TLS", Not(BeZero())), HaveField("Connect", Not(BeZero())), HaveField("FirstByte", Not(BeZero()))))
		Expect(second.Succeeded()).To(BeTrue(), "%+v", second)
		Expect(second.Timings).To(And(HaveField("TLS", BeZero()), HaveField("Connect", BeZero())), "the connection is used again")
		Expect(r.Received("")[1].Proto).To(Equal("HTTP/2.0"))
	})

	DescribeTable("names what the endpoint answered",
		func(ctx SpecContext, script string, want dispatcher.Result) {
			r := startReceiver(receiver.Options{})
			steps, err := receiver.ParseScript(script)
			Expect(err).NotTo(HaveOccurred())
			r.Script("/", steps...)
			got := newSender(dispatcher.SenderOptions{Now: frozen}).Send(ctx, attemptAt(r.URL("/")))
			got.Timings = dispatcher.Timings{}
			want.StartedAt = frozen()
			Expect(got).To(Equal(want))
			Expect(r.Counts("").Posts).To(Equal(1))
		},
		Entry("200", "200", dispatcher.Result{StatusCode: 200}),
		Entry("204", "204", dispatcher.Result{StatusCode: 204}),
		Entry("299", "299", dispatcher.Result{StatusCode: 299}),
		Entry("an unknown status", "799", dispatcher.Result{StatusCode: 799, Reason: dispatcher.ReasonHTTPStatus, Message: "the endpoint answered 799"}),
		Entry("400", "400", dispatcher.Result{StatusCode: 400, Reason: dispatcher.ReasonHTTPStatus, Message: "the endpoint answered 400 Bad Request"}),
		Entry("500", "500", dispatcher.Result{StatusCode: 500, Reason: dispatcher.ReasonHTTPStatus, Message: "the endpoint answered 500 Internal Server Error"}),
		Entry("410", "410", dispatcher.Result{StatusCode: 410, Reason: dispatcher.ReasonGone, Message: "the endpoint answered 410 Gone: it wants no more deliveries"}),
		Entry("a redirect", "307 location=http://127.0.0.1:1/x", dispatcher.Result{StatusCode: 307, Reason: dispatcher.ReasonRedirected, Message: "the endpoint answered 307 Temporary Redirect; redirects are not followed"}),
		Entry("a redirect to a metadata address", "redirect-to-meta", dispatcher.Result{StatusCode: 307, Reason: dispatcher.ReasonRedirected, Message: "the endpoint answered 307 Temporary Redirect; redirects are not followed"}),
		Entry("304", "304", dispatcher.Result{StatusCode: 304, Reason: dispatcher.ReasonRedirected, Message: "the endpoint answered 304 Not Modified; redirects are not followed"}),
		Entry("429", "429", dispatcher.Result{StatusCode: 429, Reason: dispatcher.ReasonThrottled, Message: "the endpoint answered 429 Too Many Requests"}),
		Entry("429 with Retry-After", "429 retry-after=7", dispatcher.Result{StatusCode: 429, Reason: dispatcher.ReasonThrottled, Message: "the endpoint answered 429 Too Many Requests", RetryAfter: frozen().Add(7 * time.Second)}),
		Entry("429 with a day", "429 retry-after=86400", dispatcher.Result{StatusCode: 429, Reason: dispatcher.ReasonThrottled, Message: "the endpoint answered 429 Too Many Requests", RetryAfter: frozen().Add(time.Hour)}),
		Entry("429 with nonsense", "429 retry-after=soon", dispatcher.Result{StatusCode: 429, Reason: dispatcher.ReasonThrottled, Message: "the endpoint answered 429 Too Many Requests"}),
		Entry("503", "503", dispatcher.Result{StatusCode: 503, Reason: dispatcher.ReasonHTTPStatus, Message: "the endpoint answered 503 Service Unavailable"}),
		Entry("503 with Retry-After", "503 retry-after=7", dispatcher.Result{StatusCode: 503, Reason: dispatcher.ReasonThrottled, Message: "the endpoint answered 503 Service Unavailable", RetryAfter: frozen().Add(7 * time.Second)}),
		Entry("500 with Retry-After", "500 retry-after=7", dispatcher.Result{StatusCode: 500, Reason: dispatcher.ReasonHTTPStatus, Message: "the endpoint answered 500 Internal Server Error"}),
		Entry("200 with Retry-After", "200 retry-after=7", dispatcher.Result{StatusCode: 200}),
	)

	DescribeTable("sends nothing when the request breaks a rule",
		func(ctx SpecContext, spoil func(*dispatcher.Request), want dispatcher.Reason, message string) {
			r := startReceiver(receiver.Options{})
			request := attemptAt(r.URL("/"))
			spoil(&request)
			got := newSender(dispatcher.SenderOptions{}).Send(ctx, request)
			Expect(got.Reason).To(Equal(want))
			Expect(got.Message).To(ContainSubstring(message))
			Expect(len(got.Message)).To(BeNumerically("<=", dispatcher.MaxMessageBytes))
			Expect(r.Counts("").Posts).To(BeZero())
		},
		Entry("no secret", func(q *dispatcher.Request) { q.Keys = signature.Keys{} }, dispatcher.ReasonRequestInvalid, "no primary signing secret"),
		Entry("a bad secret", func(q *dispatcher.Request) { q.Keys.Primary = signature.NewSecret("short") }, dispatcher.ReasonRequestInvalid, "shorter than 16"),
		Entry("a bad second secret", func(q *dispatcher.Request) { q.Keys.Secondary = signature.NewSecret("short") }, dispatcher.ReasonRequestInvalid, "shorter than 16"),
		Entry("no payload", func(q *dispatcher.Request) { q.Payload = nil }, dispatcher.ReasonRequestInvalid, "payload"),
		Entry("a large payload", func(q *dispatcher.Request) { q.Payload = make([]byte, dispatcher.MaxPayloadBytes+1) }, dispatcher.ReasonRequestInvalid, "payload"),
		Entry("no timeout", func(q *dispatcher.Request) { q.Timeout = 0 }, dispatcher.ReasonRequestInvalid, "timeout"),
		Entry("a long timeout", func(q *dispatcher.Request) { q.Timeout = dispatcher.MaxTimeout + 1 }, dispatcher.ReasonRequestInvalid, "timeout"),
		Entry("attempt 0", func(q *dispatcher.Request) { q.Attempt = 0 }, dispatcher.ReasonRequestInvalid, "attempt"),
		Entry("a delivery id that breaks the line", func(q *dispatcher.Request) { q.DeliveryID = "a\r\nX-Evil: 1" }, dispatcher.ReasonRequestInvalid, "delivery id"),
		Entry("no event id", func(q *dispatcher.Request) { q.EventID = "" }, dispatcher.ReasonRequestInvalid, "event id"),
		Entry("an event type that breaks the line", func(q *dispatcher.Request) { q.EventType = "a\nb" }, dispatcher.ReasonRequestInvalid, "event type"),
		Entry("a trace parent that breaks the line", func(q *dispatcher.Request) { q.TraceParent = "a\nb" }, dispatcher.ReasonRequestInvalid, "trace parent"),
		Entry("a URL with a password", func(q *dispatcher.Request) { q.URL = "https://me:pw@127.0.0.1/" }, dispatcher.ReasonURLInvalid, "user name or password"),
		Entry("another scheme", func(q *dispatcher.Request) { q.URL = "gopher://127.0.0.1/" }, dispatcher.ReasonSchemeForbidden, "https://"),
		Entry("an address the request forbids", func(q *dispatcher.Request) { q.Forbidden = loopback() }, dispatcher.ReasonAddressForbidden, "Loopback"),
	)

	It("does not use a connection that was made under other rules", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		sender := newSender(dispatcher.SenderOptions{Resolver: names{"a.example": {{"127.0.0.1"}}}})
		url := "http://a.example" + r.URL("/")[len("http://127.0.0.1"):]
		Expect(sender.Send(ctx, attemptAt(url)).Succeeded()).To(BeTrue())
		request := attemptAt(url)
		request.Forbidden = loopback()
		Expect(sender.Send(ctx, request).Reason).To(Equal(dispatcher.ReasonAddressForbidden))
		Expect(r.Counts("").Posts).To(Equal(1))
	})

	It("sends nothing over http unless that is allowed", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		sender := newSender(dispatcher.SenderOptions{Policy: netguard.New(netguard.Options{Allow: loopback()})})
		Expect(sender.Send(ctx, attemptAt(r.URL("/"))).Reason).To(Equal(dispatcher.ReasonSchemeForbidden))
		Expect(r.Counts("").Posts).To(BeZero())
	})

	It("counts attempts", func(ctx SpecContext) {
		registry := prometheus.NewPedanticRegistry()
		r := startReceiver(receiver.Options{})
		r.Script("/", receiver.Step{}, receiver.Step{Status: 500})
		sender := newSender(dispatcher.SenderOptions{Registerer: registry})
		sender.Send(ctx, attemptAt(r.URL("/")))
		sender.Send(ctx, attemptAt(r.URL("/")))
		Expect(testutil.GatherAndCount(registry, "bbmcp_dispatcher_attempts_total")).To(Equal(2))
		Expect(testutil.GatherAndCount(registry, "bbmcp_dispatcher_attempt_duration_seconds")).To(Equal(2))
		Expect(testutil.GatherAndLint(registry)).To(BeEmpty())
	})
})

// frozen is a clock that stands still.
func frozen() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC) }
