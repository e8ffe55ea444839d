// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/load"
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
	"bbmcp.quietstack.com/webhooks/test/ports"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// forwarder measures the bare forwarder, with the load and the receiver that
// the product gets and nothing else on the machine.
func (b *bench) forwarder(ctx context.Context) (figures, error) {
	f := figures{report.Missing: 0, report.Duplicates: 0}
	for _, one := range []struct {
		prefix string
		lanes  []string
	}{{"", []string{"/ok/one"}}, {"fanout5_", []string{"/ok/wide-0", "/ok/wide-1", "/ok/wide-2", "/ok/wide-3", "/ok/wide-4"}}} {
		found, err := b.forward(ctx, one.lanes)
		if err != nil {
			return nil, err
		}
		f.add(one.prefix, found)
	}
	return f, nil
}

func (b *bench) forward(ctx context.Context, lanes []string) (figures, error) {
	from, err := b.startEndpoint(ctx, fanOut)
	if err != nil {
		return nil, err
	}
	defer from.process.Stop(0)
	address, err := ports.FreeAddress()
	if err != nil {
		return nil, err
	}
	var targets []string
	for i, lane := range lanes {
		targets = append(targets, "http://"+sink.LoopbackAddress(i)+from.port+lane)
	}
	process, err := b.launch(roleForwarder, "--address="+address, "--targets="+strings.Join(targets, ","))
	if err != nil {
		return nil, err
	}
	defer process.Stop(0)
	starting, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	probe := func(ctx context.Context) error {
		_, err := stack.ScrapeText(ctx, http.DefaultClient, "http://"+address+"/")
		return err
	}
	if err := process.WaitFor(starting, roleForwarder, probe); err != nil {
		return nil, err
	}
	spec := load.Spec{
		URL: "http://" + address + "/", Types: []string{eventType}, PayloadBytes: kib, Run: b.nextRun(), Publishers: publishers,
		Duration: b.size.warmup + b.size.forwarder + time.Minute, // it is stopped
	}
	p, err := b.startLoad(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer p.stop() //nolint:errcheck // the second stop, unless something failed
	if err := pause(ctx, b.size.warmup/2); err != nil {
		return nil, err
	}
	pids := map[string]int{roleForwarder: process.PID(), roleLoad: p.pid(), roleReceiver: from.process.PID()}
	seen, err := observeWindow(ctx, from.ControlClient, healthyClass, pids, b.size.forwarder)
	if err != nil {
		return nil, err
	}
	result, err := p.stop()
	if err != nil {
		return nil, err
	}
	outcome, err := settleLanes(ctx, from.ControlClient, spec.Run, result.States, lanesOf(lanes...)...)
	if err != nil {
		return nil, err
	}
	f := seen.figures(roleForwarder)
	f["answer_p50_ms"], f["answer_p99_ms"] = result.Answer.P50, result.Answer.P99
	f[report.Missing], f[report.Duplicates] = float64(outcome.Missing), float64(outcome.Duplicates)
	return f, nil
}
