// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bbmcp.quietstack.com/webhooks/internal/panics"
)

func TestPanicInAStageFailsItsEvent(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	p := &Publisher{metrics: metrics, panics: panics.New(registry, slog.New(slog.DiscardHandler))} // without stages
	_, err := p.Publish(t.Context(), Request{Event: &Event{}})
	if _, ok := errors.AsType[*panics.Error](err); !ok || ReasonOf(err) != reasonInternal {
		t.Errorf("got %v", err)
	}
	if n := testutil.ToFloat64(metrics.events.WithLabelValues(OutcomeFailed)); n != 1 {
		t.Errorf("%v failed events are counted", n)
	}
}
