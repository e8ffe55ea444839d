// SPDX-License-Identifier: Apache-2.0

package tracing_test

import (
	"log/slog"
	"testing"

	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

func TestTracesAreOffUnlessTheEnvironmentAsks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env map[string]string
		on  bool
		err bool
	}{
		"nothing is said":             {},
		"a collector is named":        {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, on: true},
		"one for traces is named":     {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, on: true},
		"an exporter is named":        {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		"exporter none":               {env: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}},
		"the SDK is disabled":         {env: map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}},
		"an exporter we do not have":  {env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, err: true},
		"gRPC":                        {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, on: true},
		"a protocol that nobody has":  {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}, err: true},
		"that of traces alone counts": {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, on: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tracer, err := tracing.Start(t.Context(), "test", func(name string) string { return test.env[name] }, slog.New(slog.DiscardHandler))
			if (tracer != nil) != test.on || (err != nil) != test.err {
				t.Errorf("traces %t, error %v; want %t, %t", tracer != nil, err, test.on, test.err)
			}
			if err := tracer.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// What is off costs nothing.
func TestOffMakesNothing(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var off *tracing.Tracer
	allocations := testing.AllocsPerRun(100, func() {
		span := off.Publish(parent, tracing.Event{Type: "a.b", ID: "evt_1"})
		if span.TraceParent(parent) != parent {
			t.Error("the publisher's traceparent is not kept")
		}
		span.End("Internal", 1)
	})
	if allocations != 0 {
		t.Errorf("%f allocations", allocations)
	}
}
