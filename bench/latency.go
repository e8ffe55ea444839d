// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
)

// latencyRate is events a second: a product that has next to nothing to do.
const latencyRate = 20

// runLatency times events from the publisher to the endpoint, both ways in turn.
func runLatency(ctx context.Context, r *round) (err error) {
	b := r.b
	w, err := b.newDeployment(ctx, deploymentOptions{})
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, w.close()) }()
	one := webhookSpec{name: "one", class: healthyClass, types: []string{eventType}}
	if err := w.declare(ctx, one); err != nil {
		return err
	}
	if err := w.awaitKnownWebhooks(ctx, namespace, eventType, 1); err != nil {
		return err
	}
	var rounds []figures
	for range b.size.rounds {
		f := figures{report.Missing: 0, report.Duplicates: 0}
		for _, way := range []struct{ prefix, prefer string }{{"", ""}, {"durable_", respondAsync}} {
			spec := w.spec(eventType)
			spec.Prefer, spec.Rate = way.prefer, latencyRate
			found, err := w.measureUnderLoad(ctx, spec, b.size.warmup/4, b.size.latency, lane{one.path()})
			if err != nil {
				return err
			}
			delete(found, report.DeliveriesPerS) // given, not found
			f.add(way.prefix, found)
		}
		rounds = append(rounds, f)
	}
	s := r.scenario("latency")
	recordFigures(s, rounds)
	for prefix, bound := range map[string]float64{"": 1.5, "durable_": 15} {
		p50 := s.Figures[prefix+report.P50]
		s.AtMost(prefix+"p50 from publish to POST, ms", p50, bound)
		s.AtMost(prefix+"p99, times p50", s.Figures[prefix+report.P99]/p50, 5)
	}
	nothingLost(s)
	return nil
}
