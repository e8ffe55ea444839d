// SPDX-License-Identifier: Apache-2.0

package authz

import "github.com/prometheus/client_golang/prometheus"

// What became of a question that memory could not answer, for the metric.
const (
	reviewAnswered = "answered"
	reviewLimited  = "limited"
	reviewFailed   = "failed"
)

// Metrics are what is counted of questions.
type Metrics struct{ reviews *prometheus.CounterVec }

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bbmcp_access_reviews_total",
		Help: "Questions for rights that memory could not answer, by result: answered (by the API server), limited (the caller asks too many) or failed (the API server was not reached).",
	}, []string{"result"})}
	registry.MustRegister(m.reviews)
	return m
}

func (m *Metrics) accessReview(result string) {
	if m != nil {
		m.reviews.WithLabelValues(result).Inc()
	}
}
