// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bbmcp.quietstack.com/webhooks/gateway/publish"
)

// Metrics are the metrics of the gateway.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	underWay prometheus.Gauge

	bodies        prometheus.Gauge
	bodiesRefused *prometheus.CounterVec

	publish *publish.Metrics
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		publish: publish.NewMetrics(registry),
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
	}
	m.bodies = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bbmcp_gateway_body_bytes",
		Help: "Bytes of request bodies that are in memory, or about to be; bounded by --body-bytes.",
	})
	m.bodiesRefused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bbmcp_gateway_bodies_refused_total",
		Help: "Requests answered 503 because too many bytes of bodies are in memory, by whose bound it was: replica, namespace, caller, or refused (a caller without rights).",
	}, []string{"bound"})
	registry.MustRegister(m.bodies, m.bodiesRefused, m.requests, m.seconds, m.underWay)
	return m
}

func (m *Metrics) requestStarted() { m.underWay.Inc() }

func (m *Metrics) requestServed(operation string, status int, took time.Duration) {
	m.underWay.Dec()
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(operation).Observe(took.Seconds())
}

func (m *Metrics) bodyBytes(by int64) { m.bodies.Add(float64(by)) }

func (m *Metrics) bodyRefused(bound string) { m.bodiesRefused.WithLabelValues(bound).Inc() }
