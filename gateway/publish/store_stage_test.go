// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"bbmcp.quietstack.com/webhooks/internal/panics"
)

func TestPanicInADeliveryFailsItsEvent(t *testing.T) {
	registry := prometheus.NewRegistry()
	stage := &storeStage{panics: panics.New(registry, slog.New(slog.DiscardHandler))} // lacks what it needs
	err := stage.createAll(context.Background(), newEventScope(Request{}), []*target{{released: true}, {released: true}}, stage.create)
	if _, ok := errors.AsType[*panics.Error](err); !ok || ClassOf(err) != FailurePlatform || ReasonOf(err) != reasonInternal {
		t.Fatalf("got %v", err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, metric := range families[0].GetMetric() {
		if n := metric.GetCounter().GetValue(); metric.GetLabel()[0].GetValue() == string(panics.Delivery) && n < 1 {
			t.Errorf("%v panics are counted", n)
		}
	}
}
