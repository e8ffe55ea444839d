// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strconv"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// account applies the consequences of a status write, once for each write: health,
// retention, metrics, one log line an attempt. A delivery that fails again after a
// retry by hand is not counted again.
func (r *DeliveryReconciler) account(ctx context.Context, s *deliveryScope, before, written *v1alpha1.WebhookDelivery) {
	r.accountNewAttempts(s, before, written)
	if s.hasAttempt() {
		r.accountAttempt(ctx, s, written)
	}
	if !isFinished(written.Status.State) {
		return
	}
	r.Retainer.Add(written)
	ended := before.Status.State != written.Status.State
	if ended {
		r.Metrics.finished(written, s.webhook)
		r.countUnrecorded(s, written)
	}
	if s.webhook == nil || written.Spec.Test || ownedByAnother(written, s.webhook) || !ended && !s.hasAttempt() {
		return
	}
	outcome := endpointOutcome(written)
	if outcome == 0 || !s.isSameEndpoint(written) {
		r.Observations.CountDelivery(s.webhook, written.Status.State)
		return
	}
	r.Observations.DeliveryFinished(s.webhook, outcome, written.Status.CompletionTime.Time, ended)
}

// countUnrecorded counts the unrecorded successes that a recorded delivery stands for.
func (r *DeliveryReconciler) countUnrecorded(s *deliveryScope, written *v1alpha1.WebhookDelivery) {
	text, ok := s.delivery.Annotations[v1alpha1.UnrecordedAnnotation]
	if !ok || s.webhook == nil || written.Labels[v1alpha1.OriginLabel] != v1alpha1.OriginGateway || ownedByAnother(written, s.webhook) {
		return
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n <= maxUnrecorded {
		r.Observations.CountUnrecorded(s.webhook, n)
	}
}

// accountAttempt counts an attempt and writes the one line that debugging it needs.
func (r *DeliveryReconciler) accountAttempt(ctx context.Context, s *deliveryScope, delivery *v1alpha1.WebhookDelivery) {
	result := s.outcome.Result
	r.Metrics.attempt(delivery, s.webhook, result)
	fields := []any{
		"webhook", delivery.Spec.WebhookRef.Name, "event", delivery.Spec.EventType, "eventID", delivery.Spec.EventID,
		"attempt", delivery.Status.Attempts, "state", delivery.Status.State,
		"status", result.StatusCode, "durationMilliseconds", result.Duration.Milliseconds(),
	}
	if result.Reason != dispatcher.ReasonNone {
		fields = append(fields, "reason", string(result.Reason), "message", result.Message)
	}
	if next := delivery.Status.NextAttemptTime; next != nil {
		fields = append(fields, "next", next.UTC().Format(time.RFC3339Nano))
	}
	ctrl.LoggerFrom(ctx).Info("attempt", fields...)
}

// accountNewAttempts applies to the webhook's other deliveries what the new attempts in the
// log say: failures, doubts about the signature, Retry-After holds.
func (r *DeliveryReconciler) accountNewAttempts(s *deliveryScope, before, written *v1alpha1.WebhookDelivery) {
	if s.webhook == nil || ownedByAnother(written, s.webhook) {
		return
	}
	known := before.Status.Attempts
	if hasUndecidedAttempt(&before.Status) {
		known = 0
	}
	for _, entry := range written.Status.AttemptLog {
		if entry.Number <= known || !isOfCurrentEndpoint(&entry, s.webhook) {
			continue
		}
		if failedAtEndpoint(entry) && !written.Spec.Test {
			r.Observations.AttemptFailed(s.webhook, entry.StartTime.Time)
		}
		if signingsecret.DoubtsKey(entry.ResponseStatus) {
			r.Secrets.Invalidate(s.webhook.UID)
		}
		if entry.RetryAfterTime != nil && entry.RetryAfterTime.After(s.now) {
			until := retry.BoundRetryAfter(entry.RetryAfterTime.Time, s.now)
			r.Runner.Hold(client.ObjectKeyFromObject(s.webhook), until)
			r.Observations.HoldRetryAfter(s.webhook, until)
		}
	}
	if note, ok := s.attemptNote(); ok && s.isSameEndpoint(written) && note.primary == v1alpha1.SigningKeyCurrent && s.outcome.Result.Succeeded() {
		r.Observations.ConfirmSecret(s.webhook, note.rotation)
	}
}

// accountUnconfirmed accounts for a status write that was applied though its answer was
// lost, and that did not come from an attempt of this process.
func (r *DeliveryReconciler) accountUnconfirmed(ctx context.Context, s *deliveryScope) {
	before := r.pending.unconfirmedBefore(s.delivery)
	if before == nil {
		return
	}
	r.account(ctx, s, before, s.delivery)
	r.pending.confirm(s.delivery)
}
