// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"github.com/prometheus/client_golang/prometheus"

	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// RunnerCollector shows the attempt runner's figures.
type RunnerCollector struct {
	Stats func() attempt.Stats
}

// Describe implements prometheus.Collector.
func (c RunnerCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, gauge := range runnerGauges {
		descs <- gauge.desc
	}
}

// Collect implements prometheus.Collector.
func (c RunnerCollector) Collect(metrics chan<- prometheus.Metric) {
	stats := c.Stats()
	for _, gauge := range runnerGauges {
		metrics <- prometheus.MustNewConstMetric(gauge.desc, prometheus.GaugeValue, gauge.value(stats))
	}
}

// runnerGauges are figures of the attempt runner, read at each scrape.
var runnerGauges = []struct { //nolint:gochecknoglobals // never changed
	desc  *prometheus.Desc
	value func(attempt.Stats) float64
}{
	{runnerGauge("queued", "Attempts that are due and wait for a slot."), func(s attempt.Stats) float64 { return float64(s.Queued) }},
	{runnerGauge("in_flight", "Attempts under way."), func(s attempt.Stats) float64 { return float64(s.UnderWay) }},
	{runnerGauge("unsettled", "Attempts whose result the API server has not acknowledged."), func(s attempt.Stats) float64 { return float64(s.Unsettled) }},
	{runnerGauge("unsettled_limit", "The bound of bbmcp_runner_unsettled."), func(s attempt.Stats) float64 { return float64(s.Slots) }},
	{runnerGauge("lost", "Attempts that were lost with the dispatcher and wait to be repeated."), func(s attempt.Stats) float64 { return float64(s.Lost) }},
	{runnerGauge("held_webhooks", "Webhooks with a Retry-After hold: their endpoint asked for a pause."), func(s attempt.Stats) float64 { return float64(s.Held) }},
	{runnerGauge("slow_webhooks", "Webhooks whose endpoint timed out lately or answers slowly."), func(s attempt.Stats) float64 {
		return float64(s.States[endpoint.Slow].Webhooks + s.States[endpoint.Hanging].Webhooks)
	}},
	{runnerGauge("oldest_queued_seconds", "How long the longest waiting attempt has been due, but for webhooks that time out again and again."), func(s attempt.Stats) float64 { return s.OldestQueued.Seconds() }},
	{runnerGauge("stalled", "1 while nothing starts because status writes fail, wherever there is something to write."), func(s attempt.Stats) float64 { return runnerFlag(s.Stalled) }},
	{runnerGauge("stalled_namespaces", "Namespaces of which nothing starts because their status writes fail, as by an admission webhook of theirs."), func(s attempt.Stats) float64 { return float64(s.StalledNamespaces) }},
	{runnerGauge("stranded", "Attempts whose result cannot be written in such a namespace: they are not among the unsettled ones."), func(s attempt.Stats) float64 { return float64(s.Stranded) }},
	{runnerGauge("paused", "1 while nothing starts because the dispatcher is not there."), func(s attempt.Stats) float64 { return runnerFlag(s.Paused) }},
}

func runnerGauge(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("bbmcp_runner_"+name, help, nil, nil)
}

func runnerFlag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
