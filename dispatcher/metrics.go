// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// senderMetrics are what the dispatcher counts.
type senderMetrics struct {
	attempts *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	deferred prometheus.Counter
}

const (
	outcomeSucceeded = "Succeeded"
	outcomeFailed    = "Failed"
)

// newSenderMetrics declares the metrics and registers them, unless registerer is nil.
func newSenderMetrics(registerer prometheus.Registerer) (*senderMetrics, error) {
	m := &senderMetrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_dispatcher_attempts_total",
			Help: "Attempts made, by reason (Succeeded, or why they failed) and class of the answer's status (2xx to 5xx, other, or none).",
		}, []string{"reason", "code_class"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bbmcp_dispatcher_attempt_duration_seconds",
			Help:    "How long attempts took, from the name lookup to the end of the answer, by outcome (Succeeded or Failed).",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}, []string{"outcome"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bbmcp_dispatcher_attempts_in_flight",
			Help: "Attempts being made now.",
		}),
		deferred: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bbmcp_dispatcher_attempts_deferred_total",
			Help: "Attempts that had to wait because the payloads of others filled their share of the memory limit.",
		}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, collector := range []prometheus.Collector{m.attempts, m.duration, m.inFlight, m.deferred} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *senderMetrics) attemptDeferred() { m.deferred.Inc() }

func (m *senderMetrics) attemptStarted() { m.inFlight.Inc() }

func (m *senderMetrics) attemptEnded(result Result) {
	m.inFlight.Dec()
	reason, outcome := string(result.Reason), outcomeFailed
	if result.Succeeded() {
		reason, outcome = outcomeSucceeded, outcomeSucceeded
	}
	m.attempts.WithLabelValues(reason, codeClassLabel(result.StatusCode)).Inc()
	m.duration.WithLabelValues(outcome).Observe(max(result.Duration, time.Duration(0)).Seconds())
}

func codeClassLabel(code int) string {
	switch {
	case code == 0:
		return "none"
	case code >= 200 && code <= 299:
		return "2xx"
	case code >= 300 && code <= 399:
		return "3xx"
	case code >= 400 && code <= 499:
		return "4xx"
	case code >= 500 && code <= 599:
		return "5xx"
	default:
		return "other"
	}
}
