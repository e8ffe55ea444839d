// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the metrics of the gateway.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	underWay prometheus.Gauge
	events   *prometheus.CounterVec
	skipped  *prometheus.CounterVec

	firstAttempts *prometheus.CounterVec
	storedFirst   *prometheus.CounterVec
	handOvers     *prometheus.CounterVec
	records       *prometheus.CounterVec

	bodies        prometheus.Gauge
	bodiesRefused *prometheus.CounterVec
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
	m.firstAttempts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bbmcp_gateway_first_attempts_total",
		Help: "First attempts that the gateway made, by outcome: succeeded, failed or lost (with the dispatcher).",
	}, []string{"outcome"})
	m.storedFirst = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bbmcp_gateway_stored_first_total",
		Help: "Deliveries that were stored before their first attempt, by reason: off (by flag), async (as the publisher preferred), notActive (the webhook), tooOld (this gateway does not know all of the webhook's spec), secret (none at hand), circuitOpen (the endpoint was slow, failed or asked for a pause), full (no free slot) or late (the request's time was nearly over).",
	}, []string{"reason"})
	m.handOvers = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bbmcp_gateway_hand_overs_total",
		Help: "First attempts that outlasted the publisher's wait, by outcome: begun, then settled (the gateway has written the result) or taken (the controller was first).",
	}, []string{"outcome"})
	m.records = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bbmcp_gateway_successes_total",
		Help: "Deliveries that succeeded at the first attempt, by record: recorded (as an object) or unrecorded.",
	}, []string{"record"})
	m.bodies = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bbmcp_gateway_body_bytes",
		Help: "Bytes of request bodies that are in memory, or about to be; bounded by --body-bytes.",
	})
	m.bodiesRefused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bbmcp_gateway_bodies_refused_total",
		Help: "Requests answered 503 because too many bytes of bodies are in memory, by whose bound it was: replica, namespace, caller, or refused (a caller without rights).",
	}, []string{"bound"})
	registry.MustRegister(m.bodies, m.bodiesRefused, m.requests, m.seconds, m.underWay, m.events, m.skipped, m.firstAttempts, m.storedFirst, m.handOvers, m.records)
	return m
}

func (m *Metrics) firstAttemptEnded(outcome string) { m.firstAttempts.WithLabelValues(outcome).Inc() }

func (m *Metrics) firstAttemptRefused(reason refusal, n int) {
	m.storedFirst.WithLabelValues(string(reason)).Add(float64(n))
}

func (m *Metrics) firstAttemptOverdue() { m.handOvers.WithLabelValues("begun").Inc() }

func (m *Metrics) handedOver(outcome string) { m.handOvers.WithLabelValues(outcome).Inc() }

func (m *Metrics) recorded() { m.records.WithLabelValues("recorded").Inc() }

func (m *Metrics) unrecorded() { m.records.WithLabelValues("unrecorded").Inc() }

func (m *Metrics) started() { m.underWay.Inc() }

func (m *Metrics) served(operation string, status int, took time.Duration) {
	m.underWay.Dec()
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(operation).Observe(took.Seconds())
}

func (m *Metrics) bodyBytes(by int64) { m.bodies.Add(float64(by)) }

func (m *Metrics) bodyRefused(bound string) { m.bodiesRefused.WithLabelValues(bound).Inc() }

func (m *Metrics) published(outcome string) { m.events.WithLabelValues(outcome).Inc() }

func (m *Metrics) skippedWebhook(reason string) { m.skipped.WithLabelValues(reason).Inc() }
