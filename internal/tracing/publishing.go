// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
)

// system is messaging.system of our spans.
const system = "bbmcp-webhooks"

// Event is what the span of an event says.
type Event struct {
	Namespace, Type, ID string
	// Accepted is when the gateway began with it.
	Accepted time.Time
}

// Publishing is the span of one event that is being published. The zero one is
// none.
type Publishing struct{ span trace.Span }

// Publish begins the span of an event. parent is the publisher's traceparent, if
// it sent one.
func (t *Tracer) Publish(parent string, event Event) Publishing {
	if t == nil {
		return Publishing{}
	}
	ctx := trace.ContextWithSpanContext(context.Background(), parseTraceParent(parent))
	_, span := t.tracer.Start(ctx, "publish "+event.Type,
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(event.Accepted), trace.WithAttributes(
			semconv.MessagingSystemKey.String(system), semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("publish"),
			semconv.MessagingDestinationName(event.Type), semconv.MessagingMessageID(event.ID), semconv.K8SNamespaceName(event.Namespace)))
	return Publishing{span}
}

// TraceParent is what the event's deliveries carry; parent if there is no span.
func (p Publishing) TraceParent(parent string) string {
	if p.span == nil {
		return parent
	}
	return formatTraceParent(p.span.SpanContext())
}

// End ends the span. failure is a reason from a closed set; "": accepted, for so
// many webhooks.
func (p Publishing) End(failure string, deliveries int) {
	if p.span == nil {
		return
	}
	p.span.SetAttributes(attribute.Int("bbmcp.deliveries", deliveries))
	failSpan(p.span, failure)
	p.span.End()
}
