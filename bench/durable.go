// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
)

const (
	// fanOut is how many webhooks an event of the wider measurements goes to,
	// and wideType its type.
	fanOut   = 5
	wideType = "bench.wide"
	// keptEach is small, so that retention deletes as fast as deliveries come
	// before measuring begins: five webhooks keep 100.
	keptEach = 20
	// outstanding keeps the way busy without a backlog.
	outstanding = 200
	// healthyClass is the class of endpoints that answer at once.
	healthyClass = "ok"
)

// runDurable takes turns between the API server alone and the durable way.
func runDurable(ctx context.Context, r *round) error {
	b := r.b
	var ceilings, durables []figures
	for i := range b.size.durableRounds {
		one, err := b.ceiling(ctx)
		if err != nil {
			return fmt.Errorf("ceiling: %w", err)
		}
		ceilings = append(ceilings, one)
		recordFigures(r.scenario("ceiling"), ceilings)
		if !r.wants("durable") {
			continue
		}
		if one, err = b.durable(ctx); err != nil {
			return fmt.Errorf("durable: %w", err)
		}
		durables = append(durables, one)
		recordFigures(r.scenario("durable"), durables)
		b.say("round %d: the API server alone %.0f/s, durable %.0f/s, fan-out of %d %.0f/s", i+1,
			ceilings[i][report.DeliveriesPerS], one[report.DeliveriesPerS], fanOut, one["fanout5_deliveries_per_s"])
	}
	if !r.wants("durable") {
		return nil
	}
	s := r.scenario("durable")
	ceiling := r.scenario("ceiling").Figures[report.DeliveriesPerS]
	for _, prefix := range []string{"", "fanout5_"} {
		s.Set(prefix+"share_of_ceiling", s.Figures[prefix+report.DeliveriesPerS]/ceiling)
		s.AtLeast(prefix+"deliveries, as a share of create + status + delete alone", s.Figures[prefix+report.DeliveriesPerS]/ceiling, 0.85)
		s.AtLeast(prefix+"deletes for each delivery, so that nothing piles up", s.Figures[prefix+"api_deletes_per_delivery"], 0.9)
	}
	nothingLost(s)
	return nil
}

// durable measures one product for events that go to one webhook and to five.
func (b *bench) durable(ctx context.Context) (f figures, err error) {
	w, err := b.newDeployment(ctx, deploymentOptions{addresses: fanOut})
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, w.close()) }()
	wide, err := w.declareFanOut(ctx, keptEach)
	if err != nil {
		return nil, err
	}
	f = figures{report.Missing: 0, report.Duplicates: 0}
	for _, one := range []struct {
		prefix, kind string
		lanes        []string
	}{{"", eventType, []string{"/ok/one"}}, {"fanout5_", wideType, wide}} {
		spec := w.spec(one.kind)
		spec.Prefer, spec.Outstanding, spec.Sink, spec.Class = respondAsync, outstanding, w.sink.Base, healthyClass
		found, err := w.measureUnderLoad(ctx, spec, b.size.durableWarmup, b.size.durable, lanesOf(one.lanes...)...)
		if err != nil {
			return nil, err
		}
		f.add(one.prefix, found)
	}
	return f, nil
}

// declareFanOut makes one webhook for the usual events and five for wide ones,
// each at a destination of its own, and returns the lanes of those.
func (w *deployment) declareFanOut(ctx context.Context, keep int32) (wide []string, err error) {
	if err := w.declareTypes(ctx, wideType); err != nil {
		return nil, err
	}
	webhooks := []webhookSpec{{name: "one", class: healthyClass, types: []string{eventType}, keep: keep}}
	for i := range fanOut {
		h := webhookSpec{name: fmt.Sprintf("wide-%d", i), class: healthyClass, types: []string{wideType}, keep: keep, host: sink.LoopbackAddress(i)}
		webhooks, wide = append(webhooks, h), append(wide, h.path())
	}
	if err := w.declare(ctx, webhooks...); err != nil {
		return nil, err
	}
	if err := w.awaitKnownWebhooks(ctx, namespace, eventType, 1); err != nil {
		return nil, err
	}
	return wide, w.awaitKnownWebhooks(ctx, namespace, wideType, fanOut)
}
