// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/load"
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
)

// Classes and types of the webhooks that are bad neighbours.
const (
	hangingClass, hangingType = "hang", "bench.hanging"
	slowClass, slowType       = "slow", "bench.slow"
	// hangsFor is longer than an attempt may take.
	hangsFor = 12 * time.Second
	// slowness is how long the slow ones take; each gets slowRate events a second.
	slowness = 500 * time.Millisecond
	slowRate = 0.5
	// hangingRate is for new events to all that hang, beside their backlog.
	hangingRate = 0.05
	// pacedRate is events a second to the healthy ones, all together.
	pacedRate = 60
	// slots is the manager's default of attempts at a time.
	slots = 512
)

// runIsolation measures healthy webhooks without and with bad neighbours.
func runIsolation(ctx context.Context, r *round) error {
	b := r.b
	rounds, err := b.neighbours(ctx)
	if err != nil {
		return err
	}
	s := r.scenario("isolation")
	recordFigures(s, rounds)
	s.Set(report.DeliveriesPerS, s.Figures["with_burst_inline_"+report.DeliveriesPerS])
	s.Set(report.P50, s.Figures["with_paced_inline_"+report.P50])
	s.Set(report.P99, s.Figures["with_paced_inline_"+report.P99])
	for _, way := range []string{"inline_", "durable_"} {
		p99 := s.Figures["with_paced_"+way+report.P99] / s.Figures["without_paced_"+way+report.P99]
		share := s.Figures["with_burst_"+way+report.DeliveriesPerS] / s.Figures["without_burst_"+way+report.DeliveriesPerS]
		s.Set(way+"p99_times", p99)
		s.Set(way+"throughput_share", share)
		s.AtMost(way+"healthy p99, times that without bad neighbours", p99, 1.5)
		s.AtLeast(way+"healthy deliveries, as a share of those without", share, 0.8)
	}
	if b.size.name == "full" {
		s.AtLeast("pending deliveries to those that hang, when all is over", s.Figures["with_pending"], 10*slots)
	}
	nothingLost(s)
	return nil
}

// neighbours measures the healthy webhooks of one product, by themselves and then
// with others that hang or are slow.
func (b *bench) neighbours(ctx context.Context) (rounds []figures, err error) {
	w, err := b.newDeployment(ctx, deploymentOptions{addresses: b.size.hanging + b.size.slow})
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, w.close()) }()
	healthy, err := w.declareHealthy(ctx)
	if err != nil {
		return nil, err
	}
	for range b.size.isolationRounds {
		rounds = append(rounds, figures{report.Missing: 0, report.Duplicates: 0})
	}
	if err := w.measureNeighbours(ctx, healthy, "without", rounds); err != nil {
		return nil, err
	}
	stop, err := w.addBadNeighbours(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	return rounds, w.measureNeighbours(ctx, healthy, "with", rounds)
}

// measureNeighbours measures the healthy webhooks paced and flat out, inline and durable,
// once for every round.
func (w *deployment) measureNeighbours(ctx context.Context, healthy map[string]string, neighbours string, rounds []figures) error {
	for _, f := range rounds {
		for _, way := range []struct{ name, prefer string }{{"inline_", ""}, {"durable_", respondAsync}} {
			for _, pace := range []struct {
				name     string
				rate     float64
				duration time.Duration
			}{{"paced_", pacedRate, w.b.size.paced}, {"burst_", 0, w.b.size.burst}} {
				found, err := w.healthyUnderLoad(ctx, healthy, way.prefer, pace.rate, time.Second, pace.duration)
				if err != nil {
					return fmt.Errorf("%s bad neighbours: %w", neighbours, err)
				}
				w.b.say("%s bad neighbours, %s%s %.0f/s, p99 %.1f ms", neighbours, pace.name, way.name, found[report.DeliveriesPerS], found[report.P99])
				f.add(neighbours+"_"+pace.name+way.name, found)
			}
		}
		pending, err := w.countPendingDeliveries(ctx)
		if err != nil {
			return err
		}
		f[neighbours+"_pending"] = float64(pending)
	}
	return nil
}

// declareHealthy makes webhooks that answer at once, each with a type of its
// own, and returns the types by lane.
func (w *deployment) declareHealthy(ctx context.Context) (map[string]string, error) {
	var webhooks []webhookSpec
	byLane := map[string]string{}
	for i := range w.b.size.healthy {
		h := webhookSpec{name: fmt.Sprintf("healthy-%d", i), class: healthyClass, types: []string{fmt.Sprintf("bench.healthy-%d", i)}}
		webhooks = append(webhooks, h)
		byLane[h.path()] = h.types[0]
	}
	if err := w.declareTypes(ctx, append(slices.Sorted(maps.Values(byLane)), hangingType, slowType)...); err != nil {
		return nil, err
	}
	if err := w.declare(ctx, webhooks...); err != nil {
		return nil, err
	}
	for _, kind := range byLane {
		if err := w.awaitKnownWebhooks(ctx, namespace, kind, 1); err != nil {
			return nil, err
		}
	}
	return byLane, nil
}

// healthyUnderLoad publishes to the healthy webhooks in turn.
func (w *deployment) healthyUnderLoad(ctx context.Context, healthy map[string]string, prefer string, rate float64, warmup, d time.Duration) (figures, error) {
	kinds := slices.Sorted(maps.Values(healthy))
	spec := w.spec(kinds...)
	spec.Prefer, spec.Rate = prefer, rate
	if rate == 0 && prefer == respondAsync {
		spec.Outstanding, spec.Sink, spec.Class = outstanding, w.sink.Base, healthyClass
	}
	return w.measureUnderLoad(ctx, spec, warmup, d, slices.Collect(maps.Keys(healthy)))
}

// addBadNeighbours declares webhooks that hang and such that are slow, gives the
// first their backlog and both new events until stop is called.
func (w *deployment) addBadNeighbours(ctx context.Context) (stop func(), err error) {
	for class, answer := range map[string]sink.Answer{
		hangingClass: {Status: http.StatusServiceUnavailable, Delay: hangsFor}, slowClass: {Status: http.StatusOK, Delay: slowness},
	} {
		if err := w.sink.Answer(ctx, class, answer); err != nil {
			return nil, err
		}
	}
	size := w.b.size
	var webhooks []webhookSpec
	for i := range size.hanging {
		webhooks = append(webhooks, webhookSpec{name: fmt.Sprintf("hanging-%d", i), class: hangingClass, types: []string{hangingType}, host: sink.LoopbackAddress(i)})
	}
	for i := range size.slow {
		webhooks = append(webhooks, webhookSpec{name: fmt.Sprintf("slow-%d", i), class: slowClass, types: []string{slowType}, host: sink.LoopbackAddress(size.hanging + i)})
	}
	if err := w.declare(ctx, webhooks...); err != nil {
		return nil, err
	}
	if err := w.awaitKnownWebhooks(ctx, namespace, slowType, size.slow); err != nil {
		return nil, err
	}
	w.b.say("giving %d webhooks that hang %d deliveries", size.hanging, size.pending)
	backlog := w.spec(hangingType)
	backlog.Prefer, backlog.Publishers, backlog.Count = respondAsync, 2, max(1, size.pending/size.hanging)
	result, err := w.b.publishLoad(ctx, backlog)
	if err != nil {
		return nil, err
	}
	if result.Deliveries < size.pending*9/10 {
		return nil, fmt.Errorf("only %d of %d deliveries to webhooks that hang were made: answers %v, %s", result.Deliveries, size.pending, result.Codes, result.Error)
	}
	// Measured is what goes on for long: every endpoint that hangs has shown it.
	if err := poll(ctx, "every endpoint that hangs to have timed out", func() (bool, error) {
		totals, err := w.sink.Totals(ctx)
		return totals[hangingClass].Posts >= 2*size.hanging, err
	}); err != nil {
		return nil, err
	}
	return w.keepPublishing(ctx, load.Spec{Types: []string{slowType}, Rate: slowRate}, load.Spec{Types: []string{hangingType}, Rate: hangingRate})
}
