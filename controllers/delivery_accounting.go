// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strconv"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// account applies the consequences of a status write, once for each write: health,
// retention, metrics, one log line an attempt. A delivery that fails again after a
// retry by hand is not counted again.
func (r *DeliveryReconciler) account(ctx context.Context, s *situation, before, written *v1alpha1.WebhookDelivery) {
	r.applyNewAttempts(s, before, written)
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
	outcome := outcomeOf(written)
	if outcome == 0 || !s.isSameEndpoint(written) {
		r.Observations.CountDelivery(s.webhook, written.Status.State)
		return
	}
	r.Observations.DeliveryFinished(s.webhook, outcome, written.Status.CompletionTime.Time, ended)
}

// countUnrecorded counts the unrecorded successes that a recorded delivery stands for.
func (r *DeliveryReconciler) countUnrecorded(s *situation, written *v1alpha1.WebhookDelivery) {
	text, ok := s.delivery.Annotations[v1alpha1.UnrecordedAnnotation]
	if !ok || s.webhook == nil || written.Labels[v1alpha1.OriginLabel] != v1alpha1.OriginGateway || ownedByAnother(written, s.webhook) {
		return
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n <= maxUnrecorded {
		r.Observations.CountUnrecorded(s.webhook, n)
	}
}

func (r *DeliveryReconciler) accountAttempt(ctx context.Context, s *situation, delivery *v1alpha1.WebhookDelivery) {
	r.Metrics.attempt(delivery, s.webhook, s.outcome.Result)
	logAttempt(ctx, delivery, s.outcome.Result)
}

// applyNewAttempts applies to the webhook's other deliveries what the new attempts in the
// log say: failures, doubts about the signature, Retry-After holds.
func (r *DeliveryReconciler) applyNewAttempts(s *situation, before, written *v1alpha1.WebhookDelivery) {
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
		if signingsecret.DoubtsSignature(entry.ResponseStatus) {
			r.Secrets.Invalidate(s.webhook.UID)
		}
		if entry.RetryAfterTime != nil && entry.RetryAfterTime.After(s.now) {
			until := retry.BoundRetryAfter(entry.RetryAfterTime.Time, s.now)
			r.Runner.Hold(keyOf(s.webhook), until)
			r.Observations.HoldRetryAfter(s.webhook, until)
		}
	}
	if note, ok := s.attemptNote(); ok && s.isSameEndpoint(written) && note.primary == v1alpha1.SigningKeyCurrent && s.outcome.Result.Succeeded() {
		r.Observations.ConfirmSecret(s.webhook, note.rotation)
	}
}

// hasAttempt reports whether the pass has the outcome of an attempt to write.
func (s *situation) hasAttempt() bool { return s.outcome != nil && s.outcome.Err == nil }

// attemptNote is the note that preparing the attempt left with its outcome.
func (s *situation) attemptNote() (attemptNote, bool) {
	if !s.hasAttempt() {
		return attemptNote{}, false
	}
	note, ok := s.outcome.Note.(attemptNote)
	return note, ok
}

// isSameEndpoint reports whether the outcome of the latest attempt is about the
// webhook's present endpoint, and not about a url that it had when the attempt started.
func (s *situation) isSameEndpoint(written *v1alpha1.WebhookDelivery) bool {
	if note, ok := s.attemptNote(); ok && note.webhook.UID != s.webhook.UID {
		return false
	}
	return isAboutCurrentEndpoint(written, s.webhook)
}

// isAboutCurrentEndpoint reports whether the latest attempt of a delivery went to the
// endpoint that the webhook has now.
func isAboutCurrentEndpoint(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook) bool {
	log := delivery.Status.AttemptLog
	return len(log) == 0 || isOfCurrentEndpoint(&log[len(log)-1], webhook)
}

// outcomeOf is what a finished delivery says about its endpoint; 0: nothing.
func outcomeOf(delivery *v1alpha1.WebhookDelivery) health.Outcome {
	switch {
	case delivery.Status.State == v1alpha1.DeliverySucceeded:
		return health.Succeeded
	case succeededReason(delivery) == v1alpha1.ReasonEndpointGone:
		return health.Gone
	case countsAsEndpointFailure(delivery):
		return health.Failed
	}
	return 0
}

// countsAsEndpointFailure distinguishes a delivery that the endpoint did not accept
// from one that was never fit to be sent.
func countsAsEndpointFailure(delivery *v1alpha1.WebhookDelivery) bool {
	switch succeededReason(delivery) {
	case v1alpha1.ReasonAttemptsExhausted, v1alpha1.ReasonDispatcherLost:
		return true
	case v1alpha1.ReasonDeadlineExceeded:
		return delivery.Status.Attempts > 0
	}
	return false
}

// logAttempt writes the one line that debugging an attempt needs.
func logAttempt(ctx context.Context, written *v1alpha1.WebhookDelivery, result dispatcher.Result) {
	fields := []any{
		"webhook", written.Spec.WebhookRef.Name, "event", written.Spec.EventType, "eventID", written.Spec.EventID,
		"attempt", written.Status.Attempts, "state", written.Status.State,
		"status", result.StatusCode, "durationMilliseconds", result.Duration.Milliseconds(),
	}
	if result.Reason != dispatcher.ReasonNone {
		fields = append(fields, "reason", string(result.Reason), "message", result.Message)
	}
	if next := written.Status.NextAttemptTime; next != nil {
		fields = append(fields, "next", next.UTC().Format(time.RFC3339Nano))
	}
	ctrl.LoggerFrom(ctx).Info("attempt", fields...)
}

func succeededReason(delivery *v1alpha1.WebhookDelivery) string {
	if condition := findCondition(delivery.Status.Conditions, v1alpha1.ConditionSucceeded); condition != nil {
		return condition.Reason
	}
	return ""
}
