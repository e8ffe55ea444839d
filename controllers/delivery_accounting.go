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

// account does what follows from a status that is written, once for each write:
// health, retention, metrics, one log line an attempt. A delivery that fails
// again after a retry by hand is not counted again.
func (r *DeliveryReconciler) account(ctx context.Context, s *situation, before, written *v1alpha1.WebhookDelivery) {
	r.heed(s, before, written)
	if s.made() {
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
	if s.webhook == nil || written.Spec.Test || ownedByAnother(written, s.webhook) || !ended && !s.made() {
		return
	}
	outcome := outcomeOf(written)
	if outcome == 0 || !s.sameEndpoint(written) {
		r.Observations.Counted(s.webhook, written.Status.State)
		return
	}
	r.Observations.Finished(s.webhook, outcome, written.Status.CompletionTime.Time, ended)
}

// countUnrecorded takes from a record of the gateway how many successes before it
// have no record.
func (r *DeliveryReconciler) countUnrecorded(s *situation, written *v1alpha1.WebhookDelivery) {
	text, ok := s.delivery.Annotations[v1alpha1.UnrecordedAnnotation]
	if !ok || s.webhook == nil || written.Labels[v1alpha1.OriginLabel] != v1alpha1.OriginGateway || ownedByAnother(written, s.webhook) {
		return
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n <= maxUnrecorded {
		r.Observations.Unrecorded(s.webhook, n)
	}
}

func (r *DeliveryReconciler) accountAttempt(ctx context.Context, s *situation, delivery *v1alpha1.WebhookDelivery) {
	r.Metrics.attempt(delivery, s.webhook, s.outcome.Result)
	logAttempt(ctx, delivery, s.outcome.Result)
}

// heed takes from the attempts that are new in the log what matters to other
// deliveries.
func (r *DeliveryReconciler) heed(s *situation, before, written *v1alpha1.WebhookDelivery) {
	if s.webhook == nil || ownedByAnother(written, s.webhook) {
		return
	}
	known := before.Status.Attempts
	if isReported(&before.Status) {
		known = 0
	}
	for _, made := range written.Status.AttemptLog {
		if made.Number <= known || !isOfEndpoint(&made, s.webhook) {
			continue
		}
		if failedAtEndpoint(made) && !written.Spec.Test {
			r.Observations.AttemptFailed(s.webhook, made.StartTime.Time)
		}
		if signingsecret.DoubtsSignature(made.ResponseStatus) {
			r.Secrets.Invalidate(s.webhook.UID)
		}
		if made.RetryAfterTime != nil && made.RetryAfterTime.After(s.now) {
			until := earliest(made.RetryAfterTime.Time, s.now.Add(retry.MaxRetryAfter))
			r.Runner.Hold(keyOf(s.webhook), until)
			r.Observations.Held(s.webhook, until)
		}
	}
	if note, ok := s.note(); ok && s.sameEndpoint(written) && note.primary == v1alpha1.SigningKeyCurrent && s.outcome.Result.Succeeded() {
		r.Observations.Confirmed(s.webhook, note.rotation)
	}
}

// made reports whether an attempt was made whose outcome waits to be written.
func (s *situation) made() bool { return s.outcome != nil && s.outcome.Err == nil }

// note is what was known when the attempt started that waits to be written.
func (s *situation) note() (attemptNote, bool) {
	if !s.made() {
		return attemptNote{}, false
	}
	note, ok := s.outcome.Note.(attemptNote)
	return note, ok
}

// sameEndpoint reports whether what came of the latest attempt says something about
// the webhook as it is now, and not about a url that it had when the attempt started.
func (s *situation) sameEndpoint(written *v1alpha1.WebhookDelivery) bool {
	if note, ok := s.note(); ok && note.webhook.UID != s.webhook.UID {
		return false
	}
	return saysOf(written, s.webhook)
}

// saysOf reports whether the latest attempt of a delivery went to the endpoint that the
// webhook has now.
func saysOf(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook) bool {
	log := delivery.Status.AttemptLog
	return len(log) == 0 || isOfEndpoint(&log[len(log)-1], webhook)
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

// countsAsEndpointFailure tells a delivery that the endpoint did not take from
// one that was never fit to be sent.
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
