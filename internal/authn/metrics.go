// SPDX-License-Identifier: Apache-2.0

package authn

import "github.com/prometheus/client_golang/prometheus"

// Results of a token, for the metric.
const (
	tokenRemembered = "remembered"
	tokenReviewed   = "reviewed"
	tokenImpossible = "impossible"
	tokenLimited    = "limited"
	tokenFailed     = "failed"
)

// Metrics are the metrics of tokens.
type Metrics struct {
	tokens *prometheus.CounterVec
	keys   prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_tokens_total",
			Help: "Tokens that came with requests, by result: remembered (the answer was at hand), reviewed (by the API server), impossible (no token of this cluster, found out without it), limited (too many that are not known) or failed (the API server was not reached).",
		}, []string{"result"}),
		keys: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bbmcp_token_keys",
			Help: "Keys of the cluster that tokens are checked with; 0: they could not be read, so invented tokens cost reviews and can keep new valid ones out.",
		}),
	}
	registry.MustRegister(m.tokens, m.keys)
	return m
}

func (m *Metrics) tokenChecked(result string) {
	if m != nil {
		m.tokens.WithLabelValues(result).Inc()
	}
}

func (m *Metrics) keysRead(n int) {
	if m != nil {
		m.keys.Set(float64(n))
	}
}
