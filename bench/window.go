// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
	"bbmcp.quietstack.com/webhooks/test/procstat"
)

// windowProcesses are the processes whose CPU time a delivery costs. The garbage
// collector in the controller manager is shown beside them.
func windowProcesses() []string {
	return []string{"gateway", "gateway_dispatcher", "manager", "manager_dispatcher", "api_server", "etcd"}
}

// window is a stretch of time under load.
type window struct {
	seconds   float64
	delivered int
	cpu       map[string]time.Duration // by process
	latency   stats.Latency
}

// observeWindow watches deliveries to a class of a receiver, and processes, for d.
func observeWindow(ctx context.Context, from sink.ControlClient, class string, pids map[string]int, d time.Duration) (w window, err error) {
	if err := from.ResetLatencies(ctx); err != nil {
		return w, err
	}
	before, started, err := lookAtWindow(ctx, from, class, pids)
	if err != nil {
		return w, err
	}
	if err := pause(ctx, d); err != nil {
		return w, err
	}
	after, ended, err := lookAtWindow(ctx, from, class, pids)
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

// lookAtWindow takes the counters at one moment.
func lookAtWindow(ctx context.Context, from sink.ControlClient, class string, pids map[string]int) (w window, at time.Time, err error) {
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
