// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

// newBrokenGateway is a gateway that lacks what it needs: whatever it does panics.
func newBrokenGateway(t *testing.T) (g *Gateway, recovered func(panics.Place) float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	quiet := slog.New(slog.DiscardHandler)
	metrics, guard := NewMetrics(registry), panics.New(registry, quiet)
	g = &Gateway{
		requests: &requestLogger{metrics: metrics, panics: guard, accessLog: quiet, now: time.Now},
		handlers: handlers{event: &eventHandlers{metrics: metrics, panics: guard}},
	}
	return g, func(place panics.Place) float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() != "bbmcp_recovered_panics_total" {
				continue
			}
			for _, metric := range family.GetMetric() {
				if metric.GetLabel()[0].GetValue() == string(place) {
					return metric.GetCounter().GetValue()
				}
			}
		}
		t.Fatalf("nothing counts panics in %s", place)
		return 0
	}
}

func TestPanicInARequestAnswers500(t *testing.T) {
	g, recovered := newBrokenGateway(t)
	begun := false
	server := httptest.NewServer(g.requests.logRequests(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if begun {
			_, _ = io.WriteString(w, "half of ")
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("Etag", `"of what never came"`)
		panic("a bug")
	})))
	defer server.Close()
	get := func() (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		return http.DefaultClient.Do(request)
	}
	response, err := get()
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var problem rest.Problem
	if err := json.NewDecoder(response.Body).Decode(&problem); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusInternalServerError || problem.Reason != reasonInternal || problem.RequestID == "" || problem.RequestID != response.Header.Get(requestIDHeader) {
		t.Errorf("got %d %+v", response.StatusCode, problem)
	}
	if response.Header.Get("Etag") != "" {
		t.Error("the answer has headers of the one that never came")
	}
	begun = true
	response, err = get()
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("an answer that breaks off looks whole")
	}
	if n := recovered(panics.Request); n != 2 {
		t.Errorf("%v panics are counted", n)
	}
	if n := testutil.ToFloat64(g.requests.metrics.underWay); n != 0 {
		t.Errorf("%v requests count as being served", n)
	}
}

func TestPanicInAnEventFailsOnlyItsItem(t *testing.T) {
	g, recovered := newBrokenGateway(t)
	const batch = `[{"specversion":"1.0","id":"a","source":"/x","type":"a"},7,{"specversion":"1.0","id":"b","source":"/x","type":"a"}]`
	in := &PublishRequest{request: httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/events", http.NoBody)}
	var answer publishAnswer
	if err := g.handlers.event.publishBatch(t.Context(), in, batchPublisher{handlers: g.handlers.event}, []byte(batch), &answer); err != nil {
		t.Fatal(err)
	}
	published, ok := answer.Body.(*rest.BatchPublished)
	if !ok || len(published.Results) != 3 || published.Results[0].Status != 500 || published.Results[1].Status != 422 || published.Results[2].Status != 500 {
		t.Fatalf("got %+v", answer.Body)
	}
	if n := recovered(panics.Event); n != 2 {
		t.Errorf("%v panics are counted", n)
	}
}
