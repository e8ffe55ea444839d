// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what the servers of a process count.
type Metrics struct {
	open      *prometheus.GaugeVec
	evictions *prometheus.CounterVec
	surplus   *prometheus.CounterVec
	givenUp   *prometheus.CounterVec
	untaken   *prometheus.CounterVec
	late      *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bbmcp_http_connections",
			Help: "Open connections of clients, by listener (api, metrics, probes, profiles) and state: new (no request yet), active or idle.",
		}, []string{"listener", "state"}),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_http_connections_evicted_total",
			Help: "Connections closed to make room for others, by listener and the state that they were in: new or idle.",
		}, []string{"listener", "state"}),
		surplus: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_http_requests_refused_total",
			Help: "Requests answered 503 at once because too many were under way, and several on their connection, by listener.",
		}, []string{"listener"}),
		givenUp: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_http_requests_given_up_total",
			Help: "Requests that their client gave up while they waited for others of their connection, by listener.",
		}, []string{"listener"}),
		untaken: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_http_connections_unread_total",
			Help: "Connections cut off because their peers took too little of answers that were too much in memory, by listener.",
		}, []string{"listener"}),
		late: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_http_late_bodies_total",
			Help: "Requests whose body did not arrive in time, by listener.",
		}, []string{"listener"}),
	}
	registry.MustRegister(m.open, m.evictions, m.surplus, m.givenUp, m.untaken, m.late)
	return m
}

// connectionsChanged notes that more, or fewer, are in a state.
func (m *Metrics) connectionsChanged(listener string, state http.ConnState, by int) {
	if m != nil {
		m.open.WithLabelValues(listener, state.String()).Add(float64(by))
	}
}

func (m *Metrics) connectionEvicted(listener string, state http.ConnState) {
	if m != nil {
		m.evictions.WithLabelValues(listener, state.String()).Inc()
	}
}

func (m *Metrics) requestRefused(listener string) {
	if m != nil {
		m.surplus.WithLabelValues(listener).Inc()
	}
}

func (m *Metrics) turnGivenUp(listener string) {
	if m != nil {
		m.givenUp.WithLabelValues(listener).Inc()
	}
}

func (m *Metrics) cutOffUnread(listener string) {
	if m != nil {
		m.untaken.WithLabelValues(listener).Inc()
	}
}

func (m *Metrics) bodyTimedOut(listener string) {
	if m != nil {
		m.late.WithLabelValues(listener).Inc()
	}
}
