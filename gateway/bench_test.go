// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway"
	"bbmcp.quietstack.com/webhooks/internal/authn"
	"bbmcp.quietstack.com/webhooks/internal/authz"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// startBenchGateway serves a gateway from this process, with the tokens and rights of a
// real API server that has the namespace bench.
func startBenchGateway(b *testing.B, options gateway.Options) (*stack.Stack, http.Handler) {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	cluster, err := stack.Start(b.Context(), stack.Options{ControlPlane: controlplane.Options{UnsafeNoFsync: true}})
	must(err)
	b.Cleanup(func() { _ = cluster.Stop() }) // the benchmark is over
	must(cluster.Client.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bench"}}))
	options.Config, options.Client, options.Dispatcher = cluster.ControlPlane.AdminConfig(), cluster.Client, dispatcher.NewClient("/nowhere")
	options.Tokens, err = authn.New(options.Config, nil, time.Now)
	must(err)
	options.Rights, err = authz.New(options.Config, nil, time.Now)
	must(err)
	options.Forbidden = func() []netip.Prefix { return nil }
	options.Metrics, options.Logger = gateway.NewMetrics(prometheus.NewRegistry()), slog.New(slog.NewJSONHandler(io.Discard, nil))
	options.AccessLog = options.Logger
	options.Now, options.Random = time.Now, rand.Reader
	g, err := gateway.New(options)
	must(err)
	g.Start(b.Context())
	return cluster, g.Handler(func(context.Context) error { return nil })
}

// BenchmarkPublish measures POST /v1/events of 1 KiB that no webhook wants: what
// every event costs in the gateway before the first delivery. Tokens and rights
// are those of a real API server, which is asked once.
func BenchmarkPublish(b *testing.B) {
	cluster, handler := startBenchGateway(b, gateway.Options{})
	token, err := cluster.Token(b.Context(), "bench", "publisher", []string{publisher})
	if err != nil {
		b.Fatal(err)
	}
	body := `{"event":"` + eventType + `","data":` + eventData(`,"note":"`+strings.Repeat("x", 850)+`"`) + `}`
	send := func() *httptest.ResponseRecorder {
		request := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/events", strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+token)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		return recorder
	}
	for deadline := time.Now().Add(eventualTimeout); send().Code != http.StatusAccepted; {
		if time.Now().After(deadline) {
			b.Fatal(send().Body)
		}
	}
	b.ReportAllocs()
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ResetTimer()
	for range b.N {
		if got := send(); got.Code != http.StatusAccepted {
			b.Fatal(got.Body)
		}
	}
	b.StopTimer()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(spent)/1000/float64(b.N), "cpu-µs/op")
}
