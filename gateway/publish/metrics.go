// SPDX-License-Identifier: Apache-2.0

package publish

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the metrics of publishing.
type Metrics struct {
	events  *prometheus.CounterVec
	skipped *prometheus.CounterVec

	firstAttempts *prometheus.CounterVec
	storedFirst   *prometheus.CounterVec
	handOvers     *prometheus.CounterVec
	records       *prometheus.CounterVec
}

// Outcomes of a first attempt, for the metric.
const (
	firstAttemptSucceeded = "succeeded"
	firstAttemptFailed    = "failed"
	firstAttemptLost      = "lost"
)

// Outcomes of a hand-over, for the metric.
const (
	handOverSettled   = "settled"
	handOverTakenOver = "taken"
)

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_gateway_events_total",
			Help: "Events published, by outcome: accepted, repeated (known already), refused or failed.",
		}, []string{"outcome"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_gateway_webhooks_skipped_total",
			Help: "Webhooks that matched an event and got no delivery, by reason: Disabled or BacklogFull.",
		}, []string{"reason"}),
		firstAttempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_gateway_first_attempts_total",
			Help: "First attempts that the gateway made, by outcome: succeeded, failed or lost (with the dispatcher).",
		}, []string{"outcome"}),
		storedFirst: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_gateway_stored_first_total",
			Help: "Deliveries that were stored before their first attempt, by reason: off (by flag), async (as the publisher preferred), notActive (the webhook), tooOld (this gateway does not know all of the webhook's spec), secret (none at hand), circuitOpen (the endpoint was slow, failed or asked for a pause), full (no free slot) or late (the request's time was nearly over).",
		}, []string{"reason"}),
		handOvers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_gateway_hand_overs_total",
			Help: "First attempts that outlasted the publisher's wait, by outcome: begun, then settled (the gateway has written the result) or taken (the controller was first).",
		}, []string{"outcome"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_gateway_successes_total",
			Help: "Deliveries that succeeded at the first attempt, by record: recorded (as an object) or unrecorded.",
		}, []string{"record"}),
	}
	registry.MustRegister(m.events, m.skipped, m.firstAttempts, m.storedFirst, m.handOvers, m.records)
	return m
}

func (m *Metrics) firstAttemptEnded(outcome string) {
	m.firstAttempts.WithLabelValues(outcome).Inc()
}

func (m *Metrics) firstAttemptRefused(reason refusal, n int) {
	m.storedFirst.WithLabelValues(string(reason)).Add(float64(n))
}

func (m *Metrics) firstAttemptOverdue() { m.handOvers.WithLabelValues("begun").Inc() }

func (m *Metrics) handedOver(outcome string) { m.handOvers.WithLabelValues(outcome).Inc() }

func (m *Metrics) recorded() { m.records.WithLabelValues("recorded").Inc() }

func (m *Metrics) unrecorded() { m.records.WithLabelValues("unrecorded").Inc() }

// Published counts an event by what came of it: one of the outcomes of publishing.
func (m *Metrics) Published(outcome string) { m.events.WithLabelValues(outcome).Inc() }

func (m *Metrics) skippedWebhook(reason string) { m.skipped.WithLabelValues(reason).Inc() }
