// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/load"
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
)

// measureUnderLoad measures a load from the end of its warming up, then ends it, waits
// for what is still to come and counts. Every lane gets every event; all are of
// healthyClass.
func (w *deployment) measureUnderLoad(ctx context.Context, spec load.Spec, warmup, d time.Duration, lanes ...lane) (figures, error) {
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
	seen, err := observeWindow(ctx, w.sink.ControlClient, healthyClass, pids, d)
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
	outcome, err := settleLanes(ctx, w.sink.ControlClient, spec.Run, result.States, lanes...)
	if err != nil {
		return nil, err
	}
	f := seen.figures(windowProcesses()...)
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
	apiServerRequests

	delivered int
}

func (w *deployment) snapshot(ctx context.Context) (s snapshot, err error) {
	if s.apiServerRequests, err = w.countAPIServerRequests(ctx); err != nil {
		return s, err
	}
	totals, err := w.sink.Totals(ctx)
	s.delivered = totals[healthyClass].Delivered
	return s, err
}
