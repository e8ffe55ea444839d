// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
)

// maxLatency bounds what one delivery adds to the sum of latencies: it is beyond all
// buckets, and spec.acceptedTime may be written by hand.
const maxLatency = time.Hour

// Metrics are the Prometheus metrics of the manager.
type Metrics struct {
	deliveries      *prometheus.CounterVec
	attempts        *prometheus.CounterVec
	attemptDuration *prometheus.HistogramVec
	latency         prometheus.Histogram
	statusWrites    *prometheus.CounterVec
	retentions      *prometheus.CounterVec
	states          *prometheus.GaugeVec
	certificates    *prometheus.GaugeVec
	skipped         *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_deliveries_total",
			Help: "Deliveries that ended, by webhook, outcome (succeeded, failed) and reason.",
		}, []string{"namespace", "webhook", "outcome", "reason"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_attempts_total",
			Help: "Attempts, by webhook, class of the answer's status (2xx … 5xx, none) and failure reason.",
		}, []string{"namespace", "webhook", "code_class", "reason"}),
		attemptDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "bbmcp_attempt_duration_seconds", Help: "How long attempts took, by outcome (succeeded, failed).",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"outcome"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "bbmcp_delivery_latency_seconds", Help: "Time from the acceptance of an event to the start of its first attempt.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}),
		statusWrites: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_status_writes_total", Help: "Writes of delivery statuses, by result (written, conflict, failed, refused).",
		}, []string{"result"}),
		retentions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bbmcp_retention_deletes_total", Help: "Finished deliveries that retention deleted, by state and by what they exceeded (age, ttl, count, bytes, namespace, total).",
		}, []string{"state", "bound"}),
		states: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bbmcp_webhook_state", Help: "1 for the state that a webhook is in.",
		}, []string{"namespace", "webhook", "state"}),
		certificates: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bbmcp_endpoint_certificate_expiry_timestamp_seconds",
			Help: "When the certificate expires that a webhook's endpoint showed at the last attempt, in Unix time.",
		}, []string{"namespace", "webhook"}),
	}
	m.skipped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bbmcp_deliveries_skipped_total",
		Help: "Deliveries that a webhook did not get, by webhook and reason: Disabled or BacklogFull.",
	}, []string{"namespace", "webhook", "reason"})
	registry.MustRegister(m.skipped, m.deliveries, m.attempts, m.attemptDuration, m.latency, m.statusWrites, m.retentions, m.states, m.certificates)
	return m
}

// webhookMetricLabel is "" for a webhook that does not exist: its series would never be
// dropped, and any number of them could be made by creating deliveries.
func webhookMetricLabel(webhook *v1alpha1.Webhook) string {
	if webhook == nil {
		return ""
	}
	return webhook.Name
}

func (m *Metrics) attempt(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook, result dispatcher.Result) {
	class := "none"
	if result.StatusCode > 0 {
		class = strconv.Itoa(result.StatusCode/100) + "xx"
	}
	m.attempts.WithLabelValues(delivery.Namespace, webhookMetricLabel(webhook), class, string(result.Reason)).Inc()
	outcome := "failed"
	if result.Succeeded() {
		outcome = "succeeded"
	}
	m.attemptDuration.WithLabelValues(outcome).Observe(result.Duration.Seconds())
	if expiry := result.CertificateNotAfter; webhook != nil && !expiry.IsZero() {
		m.certificates.WithLabelValues(delivery.Namespace, webhook.Name).Set(float64(expiry.Unix()))
	}
	if delivery.Status.Attempts == 1 {
		m.latency.Observe(max(0, min(result.StartedAt.Sub(acceptedTime(delivery)), maxLatency).Seconds()))
	}
}

func (m *Metrics) finished(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook) {
	outcome := "failed"
	if delivery.Status.State == v1alpha1.DeliverySucceeded {
		outcome = "succeeded"
	}
	m.deliveries.WithLabelValues(delivery.Namespace, webhookMetricLabel(webhook), outcome, succeededReason(delivery)).Inc()
}

func (m *Metrics) statusWrite(result string) { m.statusWrites.WithLabelValues(result).Inc() }

func (m *Metrics) retained(state v1alpha1.DeliveryState, exceeded bound) {
	m.retentions.WithLabelValues(string(state), string(exceeded)).Inc()
}

func (m *Metrics) webhookState(webhook *v1alpha1.Webhook, state v1alpha1.WebhookState) {
	for _, each := range []v1alpha1.WebhookState{v1alpha1.WebhookActive, v1alpha1.WebhookFailing, v1alpha1.WebhookDisabled} {
		value := 0.0
		if each == state {
			value = 1
		}
		m.states.WithLabelValues(webhook.Namespace, webhook.Name, string(each)).Set(value)
	}
}

func (m *Metrics) deliveriesSkipped(webhook *v1alpha1.Webhook, count skipped.Count) {
	for reason, n := range map[string]int64{"BacklogFull": count.Full, "Disabled": count.Disabled} {
		if n > 0 {
			m.skipped.WithLabelValues(webhook.Namespace, webhook.Name, reason).Add(float64(n))
		}
	}
}

// forgetWebhook drops the series of a webhook that is gone.
func (m *Metrics) forgetWebhook(key types.NamespacedName) {
	labels := prometheus.Labels{"namespace": key.Namespace, "webhook": key.Name}
	m.deliveries.DeletePartialMatch(labels)
	m.attempts.DeletePartialMatch(labels)
	m.states.DeletePartialMatch(labels)
	m.certificates.DeletePartialMatch(labels)
	m.skipped.DeletePartialMatch(labels)
}
