// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/destination"
)

// Sender makes attempts, each with a span.
type Sender struct {
	*dispatcher.Client

	tracer *Tracer
}

// Sender returns what hands attempts to a dispatcher. It is the client itself
// where there are no traces.
func (t *Tracer) Sender(sidecar *dispatcher.Client) Dispatcher {
	if t == nil {
		return sidecar
	}
	return &Sender{Client: sidecar, tracer: t}
}

// Dispatcher is a dispatcher.Client as manager and gateway use it.
type Dispatcher interface {
	Send(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error)
	Start(request dispatcher.Request, done func(dispatcher.Result, error))
	CheckURL(ctx context.Context, url string, forbidden []netip.Prefix) error
	Ready(ctx context.Context) error
}

// Send makes one attempt; see dispatcher.Client.
func (s *Sender) Send(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error) {
	span := s.beginSpan(&request)
	result, err := s.Client.Send(ctx, request)
	endAttemptSpan(span, &result, err)
	return result, err
}

// Start makes one attempt; see dispatcher.Client.
func (s *Sender) Start(request dispatcher.Request, done func(dispatcher.Result, error)) {
	span := s.beginSpan(&request)
	s.Client.Start(request, func(result dispatcher.Result, err error) {
		endAttemptSpan(span, &result, err)
		done(result, err)
	})
}

// beginSpan returns the span of an attempt: a child of the span that published the
// event, wherever and whenever that was, and linked to it.
func (s *Sender) beginSpan(request *dispatcher.Request) trace.Span {
	published := parseTraceParent(request.Trace.Parent)
	var links []trace.Link
	if published.IsValid() {
		links = []trace.Link{{SpanContext: published}}
	}
	_, span := s.tracer.tracer.Start(trace.ContextWithSpanContext(context.Background(), published), "POST",
		trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...), trace.WithAttributes(attemptAttributes(request)...))
	if request.Trace.Wanted {
		request.TraceParent = formatTraceParent(span.SpanContext())
	}
	return span
}

// endAttemptSpan ends the span, unless nothing was sent: one that never ends is not exported.
func endAttemptSpan(span trace.Span, result *dispatcher.Result, err error) {
	if errors.Is(err, dispatcher.ErrUnavailable) {
		return
	}
	if result.StatusCode != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(result.StatusCode))
	}
	failSpan(span, attemptFailure(result, err))
	span.End()
}

// attemptAttributes says of an attempt what is neither secret nor long. The path of a URL
// is left out: some hold a token there.
func attemptAttributes(request *dispatcher.Request) []attribute.KeyValue {
	said := []attribute.KeyValue{
		semconv.HTTPRequestMethodPost,
		semconv.MessagingSystemKey.String(system), semconv.MessagingMessageID(request.EventID), semconv.MessagingDestinationName(request.EventType),
		semconv.K8SNamespaceName(request.Trace.Namespace), attribute.String("bbmcp.webhook.name", request.Trace.Webhook),
		attribute.String("bbmcp.delivery.id", request.DeliveryID), attribute.Int("bbmcp.attempt", request.Attempt),
	}
	if request.Attempt > 1 {
		said = append(said, semconv.HTTPRequestResendCount(request.Attempt-1))
	}
	to, err := url.Parse(request.URL)
	if err != nil {
		return said
	}
	port, err := strconv.Atoi(destination.Port(to))
	if err != nil {
		return said
	}
	return append(said, semconv.ServerAddress(to.Hostname()), semconv.ServerPort(port), semconv.URLScheme(to.Scheme))
}

// attemptFailure names why an attempt failed, as error.type does: the status if it is
// about that, or our reason; "": it did not.
func attemptFailure(result *dispatcher.Result, err error) string {
	switch {
	case err != nil:
		return string(dispatcher.ReasonDispatcherLost)
	case result.Succeeded():
		return ""
	case result.StatusCode >= 300:
		return strconv.Itoa(result.StatusCode)
	}
	return string(result.Reason)
}
