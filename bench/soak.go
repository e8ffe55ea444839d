// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
	"bbmcp.quietstack.com/webhooks/test/procstat"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	// soakSamples is how many times the soak is looked at, soakShare the share
	// of what inline can do that it publishes.
	soakSamples = 40
	soakShare   = 0.5
	// probeFor is how long that is measured, with so many publishers.
	probeFor = 4 * time.Second
)

// runSoakAndCrash runs the soak and, beside it, the crashes, which have a product of
// their own and count deliveries only: what the one takes from the other changes
// no verdict.
func runSoakAndCrash(ctx context.Context, r *round) error {
	var running sync.WaitGroup
	var crash, soak error
	if r.wants("crash") {
		running.Go(func() { crash = r.crash(ctx) })
	}
	if r.wants("soak") {
		running.Go(func() { soak = r.soak(ctx) })
	}
	running.Wait()
	// Each says for itself what failed; the unit has not.
	for name, err := range map[string]error{"crash": crash, "soak": soak} {
		if err != nil {
			r.scenario(name).Failure = err.Error()
			r.b.say("%s FAILED: %v", name, err)
		}
	}
	return nil
}

// soakGrowth is what must not grow, by what it may all the same: a share and an
// amount, since a small figure moves more.
type soakGrowth struct {
	name   string
	share  float64
	amount float64
}

func soakGrowths() []soakGrowth {
	return []soakGrowth{{"rss_mib", 0.10, 8}, {"goroutines", 0.10, 20}, {"sockets", 0.10, 10}, {"objects", 0.05, 50}}
}

// soak publishes at half of what inline can do and watches what must not grow.
func (r *round) soak(ctx context.Context) (err error) {
	b, s := r.b, r.scenario("soak")
	started := time.Now()
	defer func() { s.Seconds = time.Since(started).Seconds() }()
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
	rate, err := w.soakRate(ctx)
	if err != nil {
		return err
	}
	spec := w.spec(eventType)
	spec.Rate, spec.Duration = rate, b.size.soak
	b.say("publishing %.0f events a second for %s", rate, b.size.soak)
	p, err := b.startLoad(ctx, spec)
	if err != nil {
		return err
	}
	defer p.stop() //nolint:errcheck // the second stop, unless something failed
	if err := w.sink.ResetLatencies(ctx); err != nil {
		return err
	}
	series, err := w.sampleSoak(ctx, b.size.soak)
	if err != nil {
		return err
	}
	latencies, err := w.sink.Latencies(ctx)
	if err != nil {
		return err
	}
	result, err := p.wait()
	if err != nil {
		return err
	}
	outcome, err := settleLanes(ctx, w.sink.ControlClient, spec.Run, result.States, lane{one.path()})
	if err != nil {
		return err
	}
	s.Set(report.DeliveriesPerS, float64(outcome.Unique)/result.Seconds)
	s.Set(report.P50, latencies[healthyClass].P50)
	s.Set(report.P99, latencies[healthyClass].P99)
	s.Set(report.Missing, float64(outcome.Missing))
	s.Set(report.Duplicates, float64(outcome.Duplicates))
	s.Set("events_refused", float64(result.Sent()-result.Accepted()))
	judgeSoakGrowth(s, series)
	nothingLost(s)
	return nil
}

// soakRate is what to publish: a share of what the scenario inline found, or of
// what a moment flat out shows.
func (w *deployment) soakRate(ctx context.Context) (float64, error) {
	if w.b.capacity > 0 {
		return soakShare * w.b.capacity, nil
	}
	probe := w.spec(eventType)
	probe.Duration = probeFor
	found, err := w.b.publishLoad(ctx, probe)
	if err != nil {
		return 0, err
	}
	return max(1, soakShare*float64(found.Accepted())/found.Seconds), nil
}

// judgeSoakGrowth compares the third and the last quarter of each series.
func judgeSoakGrowth(s *report.Scenario, series map[string][]float64) {
	for _, g := range soakGrowths() {
		for _, name := range []string{"gateway", "gateway_dispatcher", "manager", "manager_dispatcher", "etcd"} {
			values := series[name+"_"+g.name]
			if len(values) == 0 {
				continue
			}
			before, after := stats.Growth(values)
			s.Set(name+"_"+g.name, after)
			s.AtMost(fmt.Sprintf("%s %s in the last quarter, with %s in the third and %.0f %% or %.0f more", name, g.name, report.Number(before), 100*g.share, g.amount),
				after, max(before*(1+g.share), before+g.amount))
		}
	}
}

// sampleSoak looks at all processes several times within d.
func (w *deployment) sampleSoak(ctx context.Context, d time.Duration) (map[string][]float64, error) {
	series := map[string][]float64{}
	end := time.Now().Add(d)
	for i := range soakSamples {
		if err := pause(ctx, time.Until(end)/time.Duration(soakSamples-i)); err != nil {
			return nil, err
		}
		if err := w.sampleSoakOnce(ctx, series); err != nil {
			return nil, err
		}
	}
	return series, nil
}

func (w *deployment) sampleSoakOnce(ctx context.Context, series map[string][]float64) error {
	add := func(name string, value float64) { series[name] = append(series[name], value) }
	pids := w.pids()
	for name, metrics := range map[string]string{
		"gateway": w.gateway.MetricsURL, "gateway_dispatcher": w.gateway.DispatcherMetricsURL,
		"manager": w.manager.MetricsURL, "manager_dispatcher": w.manager.DispatcherMetricsURL,
	} {
		samples, scrapeErr := stack.Scrape(ctx, metrics)
		memory, memoryErr := procstat.ReadMemory(pids[name])
		sockets, socketsErr := procstat.Sockets(pids[name])
		if err := errors.Join(scrapeErr, memoryErr, socketsErr); err != nil {
			return fmt.Errorf("look at %s: %w", name, err)
		}
		add(name+"_goroutines", samples.Sum("go_goroutines"))
		add(name+"_rss_mib", float64(memory.Now)/mib)
		add(name+"_sockets", float64(sockets))
	}
	objects, err := w.countDeliveries(ctx)
	if err != nil {
		return err
	}
	add("etcd_objects", float64(objects))
	return nil
}
