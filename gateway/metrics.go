// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what the gateway counts.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	underWay prometheus.Gauge
	events   *prometheus.CounterVec
	skipped  *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_gateway_requests_total",
			Help: "Requests answered, by operation and HTTP status.",
		}, []string{"operation", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bbmcp_gateway_request_duration_seconds",
			Help:    "How long requests took, by operation.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"operation"}),
		underWay: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bbmcp_gateway_requests_in_flight",
			Help: "Requests that are being served.",
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_gateway_events_total",
			Help: "Events published, by outcome: accepted, repeated (known already), refused or failed.",
		}, []string{"outcome"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_gateway_webhooks_skipped_total",
			Help: "Webhooks that matched an event and got no delivery, by reason: Disabled or BacklogFull.",
		}, []string{"reason"}),
	}
	registry.MustRegister(m.requests, m.seconds, m.underWay, m.events, m.skipped)
	return m
}

func (m *Metrics) started() { m.underWay.Inc() }

func (m *Metrics) served(operation string, status int, took time.Duration) {
	m.underWay.Dec()
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(operation).Observe(took.Seconds())
}

func (m *Metrics) published(outcome string) { m.events.WithLabelValues(outcome).Inc() }

func (m *Metrics) skippedWebhook(reason string) { m.skipped.WithLabelValues(reason).Inc() }
