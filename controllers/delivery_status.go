// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
	"bbmcp.quietstack.com/webhooks/internal/settings"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// nextDeliveryStatus returns the status that the facts ask for. It equals the present
// status if there is nothing to write.
func nextDeliveryStatus(s deliveryScope) *v1alpha1.WebhookDeliveryStatus {
	b := deliveryStatusBuilder{deliveryScope: s, status: s.delivery.Status.DeepCopy()}
	b.addAttempts()
	switch {
	case b.isFinished():
		b.refuseRetry()
	case s.phase == attempt.UnderWay, isHandedOver(s), isBeingDeleted(s.delivery):
	default:
		b.failIfHopeless()
		if !b.isFinished() {
			b.advanceNextAttempt()
			b.setHoldCondition()
		}
	}
	return b.status
}

// deliveryStatusBuilder carries the status while nextDeliveryStatus computes it.
type deliveryStatusBuilder struct {
	deliveryScope
	status *v1alpha1.WebhookDeliveryStatus
}

func (b *deliveryStatusBuilder) isFinished() bool { return isFinished(b.status.State) }

// addAttempts adds the attempts that the status does not show yet.
func (b *deliveryStatusBuilder) addAttempts() {
	if first := b.delivery.Spec.FirstAttempt; first != nil && b.status.Attempts == 0 {
		b.addAttempt(boundFirstAttempt(*first, b.now), dispatcher.Reason(first.Reason))
	}
	if hasUndecidedAttempt(b.status) {
		first := boundFirstAttempt(b.status.AttemptLog[0], b.now)
		b.status.AttemptLog = nil
		b.addAttempt(first, dispatcher.Reason(first.Reason))
	}
	if b.outcome == nil {
		return
	}
	if bad, ok := errors.AsType[*invalidPayload](b.outcome.Err); ok {
		b.fail(bad.reason, bad.message)
		b.handleRetry()
	}
	if b.outcome.Err == nil && b.outcome.Number > int(b.status.Attempts) {
		b.addAttempt(attemptLogEntry(*b.outcome), b.outcome.Result.Reason)
	}
}

// hasUndecidedAttempt reports whether a status holds an attempt without a decision:
// after a hand-over (spec.notBefore) the gateway writes the outcome of its attempt and
// nothing else.
func hasUndecidedAttempt(status *v1alpha1.WebhookDeliveryStatus) bool {
	return status.State == "" && status.Attempts == 1 && len(status.AttemptLog) == 1
}

// addAttempt adds one attempt and sets the state that follows from it.
func (b *deliveryStatusBuilder) addAttempt(entry v1alpha1.Attempt, reason dispatcher.Reason) {
	byHand := b.status.State == v1alpha1.DeliveryFailed
	ended := attemptlog.EntryEnd(&entry)
	b.status.Attempts = entry.Number
	b.status.ResponseStatus = entry.ResponseStatus
	b.status.ErrorMessage = entry.Message
	b.status.LastAttemptTime = new(entry.StartTime)
	b.setNextAttempt(time.Time{})
	b.status.AttemptLog = appendAttemptLog(b.status.AttemptLog, entry)
	b.handleRetry()

	switch {
	case reason == dispatcher.ReasonNone:
		b.finish(v1alpha1.DeliverySucceeded, metav1.ConditionTrue, v1alpha1.ReasonDelivered, "the endpoint accepted it", ended)
	case reason == dispatcher.ReasonGone && isOfCurrentEndpoint(&entry, b.webhook):
		b.finish(v1alpha1.DeliveryFailed, metav1.ConditionFalse, v1alpha1.ReasonEndpointGone, entry.Message, ended)
	case byHand || int(entry.Number) >= settings.RetryPolicy(b.webhook).MaxAttempts():
		why := v1alpha1.ReasonAttemptsExhausted
		if reason == dispatcher.ReasonDispatcherLost {
			why = v1alpha1.ReasonDispatcherLost
		}
		b.finish(v1alpha1.DeliveryFailed, metav1.ConditionFalse, why, entry.Message, ended)
	default:
		b.status.State = v1alpha1.DeliveryRetrying
		b.setNextAttempt(nextAttemptTime(b.deliveryScope, &entry))
		b.setCondition(metav1.ConditionUnknown, v1alpha1.ReasonRetryScheduled, entry.Message)
	}
}

// setNextAttempt sets the time of the next attempt; zero: there is none.
func (b *deliveryStatusBuilder) setNextAttempt(next time.Time) {
	b.status.NextAttemptTime, b.status.NextAttempt = nil, nil
	if !next.IsZero() {
		b.status.NextAttemptTime = new(metav1.NewMicroTime(next))
		b.status.NextAttempt = new(metav1.NewTime(next.Add(time.Second - 1).Truncate(time.Second)))
	}
}

// advanceNextAttempt brings the next attempt forward once the endpoint whose Retry-After
// delayed it is no longer the webhook's. An attempt that is due at once is not
// written twice.
func (b *deliveryStatusBuilder) advanceNextAttempt() {
	if due := dueTime(b.deliveryScope, b.status); due.After(b.now) && due.Before(b.status.NextAttemptTime.Time) {
		b.setNextAttempt(due)
	}
}

// failIfHopeless fails a delivery that can no longer succeed.
func (b *deliveryStatusBuilder) failIfHopeless() {
	created := b.delivery.CreationTimestamp.Time
	switch {
	case b.status.Attempts >= maxAttempts:
		b.fail(v1alpha1.ReasonAttemptsExhausted, fmt.Sprintf("status.attempts says %d, more than are ever made", b.status.Attempts))
	case b.webhook == nil && b.now.Sub(created) >= webhookGrace:
		b.fail(v1alpha1.ReasonWebhookNotFound, fmt.Sprintf("there is no Webhook %q in this namespace, an hour after the delivery was made", b.delivery.Spec.WebhookRef.Name))
	case b.webhook != nil && ownedByAnother(b.delivery, b.webhook):
		b.fail(v1alpha1.ReasonWebhookReplaced, fmt.Sprintf("Webhook %q was deleted and made anew; this delivery was made for the old one", b.delivery.Spec.WebhookRef.Name))
	case !b.now.Before(deliveryDeadline(b.delivery, b.webhook)):
		b.fail(v1alpha1.ReasonDeadlineExceeded, fmt.Sprintf("not delivered within %s", settings.Deadline(b.webhook)))
	}
}

// setHoldCondition says in the condition why the delivery is held, and takes that back
// when it no longer is.
func (b *deliveryStatusBuilder) setHoldCondition() {
	if reason, message := holdReason(b.deliveryScope); reason != "" {
		b.setWaiting(reason, message)
		return
	}
	condition := meta.FindStatusCondition(b.status.Conditions, v1alpha1.ConditionSucceeded)
	if condition == nil || !isHoldReason(condition.Reason) {
		return
	}
	if next := b.status.NextAttemptTime; next != nil && next.After(b.now) {
		b.setWaiting(v1alpha1.ReasonRetryScheduled, b.status.ErrorMessage)
	}
}

func (b *deliveryStatusBuilder) setWaiting(reason, message string) {
	if b.status.State == "" {
		b.status.State = v1alpha1.DeliveryPending
	}
	b.setCondition(metav1.ConditionUnknown, reason, message)
}

// refuseRetry marks a retry request that cannot be carried out as handled, with the
// reason in status.errorMessage.
func (b *deliveryStatusBuilder) refuseRetry() {
	if b.status.State == v1alpha1.DeliveryFailed && isEmptyRequest(b.delivery.Annotations, v1alpha1.RetryRequestedAtAnnotation) {
		b.status.ErrorMessage = "retry refused: " + emptyRequestMessage(v1alpha1.RetryRequestedAtAnnotation)
		return
	}
	if !retryRequested(b.delivery, b.status) || b.phase == attempt.UnderWay {
		return
	}
	var why string
	switch {
	case b.status.State == v1alpha1.DeliverySucceeded:
		why = "it has succeeded"
	case b.status.Attempts >= maxAttempts:
		why = "it has had more attempts than can be numbered"
	case b.webhook == nil:
		why = "its webhook does not exist"
	case ownedByAnother(b.delivery, b.webhook):
		why = "its webhook was deleted and made anew"
	case len(b.webhook.Spec.UnknownMembers) > 0:
		why = "the webhook has members that this version of the manager does not know; upgrade it and ask again"
	case b.delivery.Spec.Test:
		return
	case b.webhook.Spec.Suspend:
		why = "the webhook is suspended; resume it and ask again"
	case b.disabled:
		why = "the webhook is disabled; enable it and ask again"
	default:
		return
	}
	b.handleRetry()
	b.status.ErrorMessage = "retry refused: " + why
}

func (b *deliveryStatusBuilder) handleRetry() {
	if request := b.delivery.Annotations[v1alpha1.RetryRequestedAtAnnotation]; request != "" {
		b.status.LastHandledRetryAt = text.Truncate(request, 256)
	}
}

func (b *deliveryStatusBuilder) fail(reason, message string) {
	b.setNextAttempt(time.Time{})
	b.status.ErrorMessage = text.Truncate(message, 1024)
	b.finish(v1alpha1.DeliveryFailed, metav1.ConditionFalse, reason, message, b.now)
}

func (b *deliveryStatusBuilder) finish(state v1alpha1.DeliveryState, status metav1.ConditionStatus, reason, message string, at time.Time) {
	b.status.State = state
	b.status.CompletionTime = new(metav1.NewMicroTime(at.UTC().Truncate(time.Microsecond)))
	b.setCondition(status, reason, message)
}

func (b *deliveryStatusBuilder) setCondition(status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&b.status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionSucceeded, Status: status, Reason: reason, Message: text.Truncate(message, 1024),
		ObservedGeneration: b.delivery.Generation, LastTransitionTime: metav1.NewTime(b.now),
	})
}

func isFinished(state v1alpha1.DeliveryState) bool {
	return state == v1alpha1.DeliverySucceeded || state == v1alpha1.DeliveryFailed
}

func retryRequested(delivery *v1alpha1.WebhookDelivery, status *v1alpha1.WebhookDeliveryStatus) bool {
	request := text.Truncate(delivery.Annotations[v1alpha1.RetryRequestedAtAnnotation], 256)
	return request != "" && request != status.LastHandledRetryAt
}

func succeededReason(delivery *v1alpha1.WebhookDelivery) string {
	if condition := meta.FindStatusCondition(delivery.Status.Conditions, v1alpha1.ConditionSucceeded); condition != nil {
		return condition.Reason
	}
	return ""
}
