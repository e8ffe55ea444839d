// SPDX-License-Identifier: Apache-2.0

package panics_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bbmcp.quietstack.com/webhooks/internal/panics"
)

func TestAPanicIsCountedLoggedAndReturned(t *testing.T) {
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	guard := panics.New(registry, slog.New(slog.NewJSONHandler(&log, nil)))
	if err := guard.Do(panics.Request, func() {}); err != nil {
		t.Errorf("nothing happened: got %v", err)
	}
	var nobody *struct{ name string }
	err := guard.Do(panics.Event, func() { _ = nobody.name })
	found, ok := errors.AsType[*panics.Error](err)
	if !ok || found.Place != panics.Event || !strings.Contains(found.Cause, "nil pointer") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(log.String(), "guard_test.go") {
		t.Errorf("the log does not say where: %s", log.String())
	}
	log.Reset()
	err = guard.Do(panics.Event, func() { panic("whsec_of_a_tenant") })
	if err == nil || strings.Contains(err.Error()+log.String(), "whsec") {
		t.Errorf("what was panicked with is told: %v, %s", err, log.String())
	}
	want := `
		# HELP bbmcp_recovered_panics_total Panics that were recovered, each a bug, by where: request, event (of a batch), delivery, object (that the API server sent) or background.
		# TYPE bbmcp_recovered_panics_total counter
		bbmcp_recovered_panics_total{where="background"} 0
		bbmcp_recovered_panics_total{where="delivery"} 0
		bbmcp_recovered_panics_total{where="event"} 2
		bbmcp_recovered_panics_total{where="object"} 0
		bbmcp_recovered_panics_total{where="request"} 0
	`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestWithoutAGuardAPanicIsReturned(t *testing.T) {
	var guard *panics.Guard
	if err := guard.Do(panics.Object, func() { panic(1) }); err == nil {
		t.Error("got no error")
	}
}
