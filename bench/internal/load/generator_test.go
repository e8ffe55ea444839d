// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/load"
)

// TestOutstandingHoldsPublishersBack: every event is accepted and none arrives.
func TestOutstandingHoldsPublishersBack(t *testing.T) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(10 * time.Millisecond)
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{"deliveries":[{"delivery_id":"dlv_1","webhook_id":"wh_1"}]}`)) // the publisher may be gone
	}))
	defer gateway.Close()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ok":{"delivered":0}}`))
	}))
	defer receiver.Close()
	spec := load.Spec{
		URL: gateway.URL, Types: []string{"context.created"}, PayloadBytes: 1 << 10, Run: 1, Publishers: 4, Duration: 2 * time.Second,
		Outstanding: 10, Sink: receiver.URL, Class: "ok",
	}
	began := time.Now()
	result, err := load.Run(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	// 800 come without a gate; a look every 50 ms lets some more than 10 through.
	if n := result.Deliveries; n < spec.Outstanding || n > 200 {
		t.Errorf("%d deliveries were accepted, with at most %d outstanding", n, spec.Outstanding)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("publishers before the gate held the run up for %s", took)
	}
}
