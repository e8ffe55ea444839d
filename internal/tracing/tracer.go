// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"

	"bbmcp.quietstack.com/webhooks/internal/version"
)

// flushTimeout bounds the sending of the last spans when a process ends.
const flushTimeout = 3 * time.Second

// Tracer makes spans. A nil Tracer makes none.
type Tracer struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
}

// Start makes a Tracer as the OTEL_* variables say, which getenv reads; nil
// without an error if they do not ask for traces. service is the name that the
// spans carry unless OTEL_SERVICE_NAME gives another.
func Start(ctx context.Context, service string, getenv func(string) string, logger *slog.Logger) (*Tracer, error) {
	on, err := tracesRequested(getenv)
	if err != nil || !on {
		return nil, err
	}
	exporter, err := newExporter(ctx, getenv)
	if err != nil {
		return nil, fmt.Errorf("set up traces: %w", err)
	}
	// What the environment says comes last and counts.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(service), semconv.ServiceVersion(version.Version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("set up traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		logger.Warn("traces are lost", slog.String("cause", err.Error()))
	}))
	// Sampler, limits and batches are read from the environment by the library.
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return &Tracer{tracer: provider.Tracer("bbmcp.quietstack.com/webhooks", trace.WithInstrumentationVersion(version.Version)), provider: provider}, nil
}

// tracesRequested reports whether the environment asks for traces: by naming a collector
// or an exporter.
func tracesRequested(getenv func(string) string) (bool, error) {
	if disabled, err := strconv.ParseBool(getenv("OTEL_SDK_DISABLED")); err == nil && disabled {
		return false, nil
	}
	switch exporter := strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER")); exporter {
	case "otlp":
		return true, nil
	case "none":
		return false, nil
	case "":
		return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "", nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: use otlp or none", exporter)
	}
}

var errProtocol = errors.New("OTEL_EXPORTER_OTLP_PROTOCOL: use grpc or http/protobuf")

// newExporter speaks the protocol that the environment names. The library reads
// endpoint, headers, certificates and all else from it.
func newExporter(ctx context.Context, getenv func(string) string) (sdktrace.SpanExporter, error) {
	protocol := getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "grpc":
		return otlptracegrpc.New(ctx)
	case "", "http/protobuf": // the specification's default
		return otlptracehttp.New(ctx)
	}
	return nil, errProtocol
}

// Close sends the last spans; it may take some seconds.
func (t *Tracer) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// failSpan marks a span as failed, unless the reason is empty.
func failSpan(span trace.Span, reason string) {
	if reason != "" {
		span.SetAttributes(semconv.ErrorTypeKey.String(reason))
		span.SetStatus(codes.Error, reason)
	}
}
