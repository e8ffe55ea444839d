// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/load"
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
	"bbmcp.quietstack.com/webhooks/bench/internal/tally"
	"bbmcp.quietstack.com/webhooks/test/procstat"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// settleWithin is how long deliveries may take to arrive after the last publish.
const settleWithin = 45 * time.Second

// wholeStack are the processes whose CPU time a delivery costs. The garbage
// collector in the controller manager is shown beside them.
func wholeStack() []string {
	return []string{"gateway", "gateway_dispatcher", "manager", "manager_dispatcher", "api_server", "etcd"}
}

// window is a stretch of time under load.
type window struct {
	seconds   float64
	delivered int
	cpu       map[string]time.Duration // by process
	latency   stats.Latency
}

// observe watches deliveries to a class of a receiver, and processes, for d.
func observe(ctx context.Context, from sink.Client, class string, pids map[string]int, d time.Duration) (w window, err error) {
	if err := from.ResetLatencies(ctx); err != nil {
		return w, err
	}
	before, started, err := look(ctx, from, class, pids)
	if err != nil {
		return w, err
	}
	if err := pause(ctx, d); err != nil {
		return w, err
	}
	after, ended, err := look(ctx, from, class, pids)
	if err != nil {
		return w, err
	}
	latencies, err := from.Latencies(ctx)
	if err != nil {
		return w, err
	}
	w = window{
		seconds: ended.Sub(started).Seconds(), delivered: after.delivered - before.delivered,
		cpu: map[string]time.Duration{}, latency: latencies[class],
	}
	for name := range pids {
		w.cpu[name] = after.cpu[name] - before.cpu[name]
	}
	return w, nil
}

// look takes the counters at one moment.
func look(ctx context.Context, from sink.Client, class string, pids map[string]int) (w window, at time.Time, err error) {
	totals, err := from.Totals(ctx)
	if err != nil {
		return w, at, err
	}
	at = time.Now()
	w.delivered, w.cpu = totals[class].Delivered, map[string]time.Duration{}
	for name, pid := range pids {
		if w.cpu[name], err = procstat.CPU(pid); err != nil {
			return w, at, fmt.Errorf("CPU time of %s: %w", name, err)
		}
	}
	return w, at, nil
}

// figures are throughput, times and the CPU time of these processes for each
// delivery.
func (w window) figures(processes ...string) figures {
	perDelivery := func(spent time.Duration) float64 {
		return float64(spent.Microseconds()) / 1000 / float64(max(1, w.delivered))
	}
	f := figures{
		report.DeliveriesPerS: float64(w.delivered) / w.seconds,
		report.P50:            w.latency.P50, report.P99: w.latency.P99,
	}
	var sum time.Duration
	for name, spent := range w.cpu {
		f["cpu_ms_"+name] = perDelivery(spent)
		if slices.Contains(processes, name) {
			sum += spent
		}
	}
	f[report.CPUPerDelivery] = perDelivery(sum)
	return f
}

// counted is what the API server has been asked about deliveries.
type counted struct{ writes, deletes float64 }

func (w *deployment) counted(ctx context.Context) (counted, error) {
	samples, err := w.stack.APIServerSamples(ctx)
	if err != nil {
		return counted{}, err
	}
	return countRequests(samples), nil
}

func countRequests(samples stack.Samples) counted {
	count := func(verb string) float64 {
		return samples.Sum("apiserver_request_total", "resource", "webhookdeliveries", "verb", verb)
	}
	return counted{writes: count("POST") + count("PUT") + count("PATCH") + count("APPLY"), deletes: count("DELETE")}
}

// underLoad measures a load from the end of its warming up, then ends it, waits
// for what is still to come and counts. Every lane gets every event; all are of
// healthyClass.
func (w *deployment) underLoad(ctx context.Context, spec load.Spec, warmup, d time.Duration, lanes ...lane) (figures, error) {
	spec.Duration = warmup + d + time.Minute // it is stopped
	p, err := w.b.startLoad(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer p.stop() //nolint:errcheck // the second stop, unless something failed
	if err := pause(ctx, warmup); err != nil {
		return nil, err
	}
	before, err := w.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	pids := w.pids()
	pids["load"], pids["receiver"] = p.pid(), w.sink.process.PID()
	collect := w.profile(ctx, strconv.Itoa(spec.Run), d)
	seen, err := observe(ctx, w.sink.Client, healthyClass, pids, d)
	if err != nil {
		return nil, err
	}
	collect()
	after, err := w.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	result, err := p.stop()
	if err != nil {
		return nil, err
	}
	outcome, err := settle(ctx, w.sink.Client, spec.Run, result.States, lanes...)
	if err != nil {
		return nil, err
	}
	f := seen.figures(wholeStack()...)
	arrived := float64(max(1, after.delivered-before.delivered))
	f[report.APIWrites] = (after.writes - before.writes) / arrived
	f["api_deletes_per_delivery"] = (after.deletes - before.deletes) / arrived
	f["answered_succeeded_share"] = float64(result.Inline) / float64(max(1, result.Deliveries))
	f["answer_p50_ms"], f["answer_p99_ms"] = result.Answer.P50, result.Answer.P99
	f["refused"] = float64(result.Sent() - result.Accepted())
	f["skipped"] = float64(result.Skipped)
	f[report.Missing], f[report.Duplicates] = float64(outcome.Missing), float64(outcome.Duplicates)
	return f, nil
}

// snapshot is what has been delivered and asked of the API server so far.
type snapshot struct {
	counted

	delivered int
}

func (w *deployment) snapshot(ctx context.Context) (s snapshot, err error) {
	if s.counted, err = w.counted(ctx); err != nil {
		return s, err
	}
	totals, err := w.sink.Totals(ctx)
	s.delivered = totals[healthyClass].Delivered
	return s, err
}

// lane is paths of a receiver that share events out among them: each event goes
// to one of them.
type lane []string

// lanesOf makes a lane of every path.
func lanesOf(paths ...string) []lane {
	var all []lane
	for _, path := range paths {
		all = append(all, lane{path})
	}
	return all
}

// received is how often each event came to a lane.
func (l lane) received(counts map[string][]byte) []byte {
	var sum []byte
	for _, path := range l {
		sum = append(sum, make([]byte, max(0, len(counts[path])-len(sum)))...)
		for i, n := range counts[path] {
			sum[i] += n
		}
	}
	return sum
}

// settle waits until what was promised has arrived at every lane, and counts.
// What has not by then is missing; duplicates are those until then.
func settle(ctx context.Context, from sink.Client, run int, states []tally.State, lanes ...lane) (outcome tally.Outcome, err error) {
	deadline := time.Now().Add(settleWithin)
	for {
		counts, err := from.Counts(ctx, run)
		if err != nil {
			return outcome, err
		}
		outcome = tally.Outcome{}
		for _, one := range lanes {
			outcome = outcome.Add(tally.Compare(states, one.received(counts)))
		}
		if outcome.Missing == 0 || time.Now().After(deadline) {
			return outcome, nil
		}
		if err := pause(ctx, 2*pollEvery); err != nil {
			return outcome, err
		}
	}
}
