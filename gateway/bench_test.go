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

// BenchmarkPublish measures POST /v1/events of 1 KiB that no webhook wants: what
// every event costs in the gateway before the first delivery. Tokens and rights
// are those of a real API server, which is asked once.
func BenchmarkPublish(b *testing.B) {
	cluster, err := stack.Start(b.Context(), stack.Options{ControlPlane: controlplane.Options{UnsafeNoFsync: true}})
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Stop() // the benchmark is over
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bench"}}
	if err := cluster.Client.Create(b.Context(), namespace); err != nil {
		b.Fatal(err)
	}
	token, err := cluster.Token(b.Context(), "bench", "publisher", []string{publisher})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	logger := slog.New(slog.NewJSONHandler(io.Discard, nil))
	tokens, err := authn.New(cluster.ControlPlane.AdminConfig(), nil, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	rights, err := authz.New(cluster.ControlPlane.AdminConfig(), nil, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	g, err := gateway.New(gateway.Options{
		Tokens: tokens, Rights: rights,
		Config: cluster.ControlPlane.AdminConfig(), Client: cluster.Client, Dispatcher: dispatcher.NewClient("/nowhere"),
		Forbidden: func() []netip.Prefix { return nil },
		Metrics:   gateway.NewMetrics(prometheus.NewRegistry()), Logger: logger, AccessLog: logger,
		Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		b.Fatal(err)
	}
	g.Start(ctx)
	handler := g.Handler(func(context.Context) error { return nil })
	body := `{"event":"` + eventType + `","data":` + eventData(`,"note":"`+strings.Repeat("x", 850)+`"`) + `}`
	send := func() *httptest.ResponseRecorder {
		request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/events", strings.NewReader(body))
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
