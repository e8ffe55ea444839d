// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
)

// runInline takes turns between the bare forwarder, alone on the machine, and
// the product with the first attempt in the gateway.
func runInline(ctx context.Context, r *round) error {
	b := r.b
	var bare, inline []figures
	for i := range b.size.rounds {
		one, err := b.forwarder(ctx)
		if err != nil {
			return fmt.Errorf("forwarder: %w", err)
		}
		bare = append(bare, one)
		recordFigures(r.scenario("forwarder"), bare)
		if !r.wants("inline") {
			continue
		}
		if one, err = b.inline(ctx); err != nil {
			return fmt.Errorf("inline: %w", err)
		}
		inline = append(inline, one)
		recordFigures(r.scenario("inline"), inline)
		b.say("round %d: forwarder %.0f/s at %.3f CPU-ms, inline %.0f/s at %.3f CPU-ms", i+1,
			bare[i][report.DeliveriesPerS], bare[i][report.CPUPerDelivery], one[report.DeliveriesPerS], one[report.CPUPerDelivery])
	}
	nothingLost(r.scenario("forwarder"))
	if !r.wants("inline") {
		return nil
	}
	s, reference := r.scenario("inline"), r.scenario("forwarder")
	for _, prefix := range []string{"", "fanout5_"} {
		cpu := s.Figures[prefix+report.CPUPerDelivery] / reference.Figures[prefix+report.CPUPerDelivery]
		share := s.Figures[prefix+report.DeliveriesPerS] / reference.Figures[prefix+report.DeliveriesPerS]
		s.Set(prefix+"cpu_times_forwarder", cpu)
		s.Set(prefix+"share_of_forwarder", share)
		s.AtMost(prefix+"CPU for each delivery, times the forwarder's", cpu, 3)
		s.AtLeast(prefix+"deliveries, as a share of the forwarder's", share, 0.4)
	}
	b.capacity = s.Figures[report.DeliveriesPerS]
	nothingLost(s)
	return nil
}

// inline measures one product for events that go to one webhook, once the burst
// of records that it may have is written, and to five, which have more than can
// be written.
func (b *bench) inline(ctx context.Context) (f figures, err error) {
	w, err := b.newDeployment(ctx, deploymentOptions{addresses: fanOut})
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, w.close()) }()
	wide, err := w.declareFanOut(ctx, 0)
	if err != nil {
		return nil, err
	}
	f = figures{report.Missing: 0, report.Duplicates: 0}
	for _, one := range []struct {
		prefix, kind string
		warmup       time.Duration
		lanes        []string
	}{{"", eventType, b.size.inlineWarmup, []string{"/ok/one"}}, {"fanout5_", wideType, b.size.warmup, wide}} {
		found, err := w.measureUnderLoad(ctx, w.spec(one.kind), one.warmup, b.size.inline, lanesOf(one.lanes...)...)
		if err != nil {
			return nil, err
		}
		f.add(one.prefix, found)
	}
	return f, nil
}
