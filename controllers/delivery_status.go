// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
)

// attemptLogBytes bounds status.attemptLog, measured as JSON.
const attemptLogBytes = 4 << 10

// fold returns the status that the facts ask for. It is equal to the present
// one if there is nothing to write.
func fold(s situation) *v1alpha1.WebhookDeliveryStatus {
	f := folder{situation: s, status: s.delivery.Status.DeepCopy()}
	f.attempts()
	switch {
	case f.finished():
		f.refuseRetry()
	case s.phase == attempt.InFlight, handedOver(s), isBeingDeleted(s.delivery):
	default:
		f.doom()
		if !f.finished() {
			f.hasten()
			f.hold()
		}
	}
	return f.status
}

// folder carries the status while fold works on it.
type folder struct {
	situation
	status *v1alpha1.WebhookDeliveryStatus
}

func (f *folder) finished() bool { return isFinished(f.status.State) }

// attempts takes the attempts that have been made into the status.
func (f *folder) attempts() {
	if first := f.delivery.Spec.FirstAttempt; first != nil && f.status.Attempts == 0 {
		f.take(firstAttempt(*first, f.now), dispatcher.Reason(first.Reason))
	}
	if isReported(f.status) {
		made := firstAttempt(f.status.AttemptLog[0], f.now)
		f.status.AttemptLog = nil
		f.take(made, dispatcher.Reason(made.Reason))
	}
	if f.outcome == nil {
		return
	}
	if bad, ok := errors.AsType[*invalid](f.outcome.Err); ok {
		f.fail(bad.reason, bad.message)
		f.handleRetry()
	}
	if f.outcome.Err == nil && f.outcome.Number > int(f.status.Attempts) {
		f.take(record(*f.outcome), f.outcome.Result.Reason)
	}
}

// isReported reports whether a status holds an attempt of which nobody has
// decided yet what follows: the gateway writes what came of an attempt that it
// had handed over (spec.notBefore) and nothing else.
func isReported(status *v1alpha1.WebhookDeliveryStatus) bool {
	return status.State == "" && status.Attempts == 1 && len(status.AttemptLog) == 1
}

// take adds one attempt and decides what follows from it.
func (f *folder) take(made v1alpha1.Attempt, reason dispatcher.Reason) {
	byHand := f.status.State == v1alpha1.DeliveryFailed
	ended := attemptlog.Ended(&made)
	f.status.Attempts = made.Number
	f.status.ResponseStatus = made.ResponseStatus
	f.status.ErrorMessage = made.Message
	f.status.LastAttemptTime = new(made.StartTime)
	f.due(time.Time{})
	f.status.AttemptLog = appendAttempt(f.status.AttemptLog, made)
	f.handleRetry()

	switch {
	case reason == dispatcher.ReasonNone:
		f.finish(v1alpha1.DeliverySucceeded, metav1.ConditionTrue, v1alpha1.ReasonDelivered, "the endpoint accepted it", ended)
	case reason == dispatcher.ReasonGone && isOfEndpoint(&made, f.webhook):
		f.finish(v1alpha1.DeliveryFailed, metav1.ConditionFalse, v1alpha1.ReasonEndpointGone, made.Message, ended)
	case byHand || int(made.Number) >= policyOf(f.webhook).MaxAttempts():
		why := v1alpha1.ReasonAttemptsExhausted
		if reason == dispatcher.ReasonDispatcherLost {
			why = v1alpha1.ReasonDispatcherLost
		}
		f.finish(v1alpha1.DeliveryFailed, metav1.ConditionFalse, why, made.Message, ended)
	default:
		f.status.State = v1alpha1.DeliveryRetrying
		f.due(nextAttempt(f.situation, &made))
		f.condition(metav1.ConditionUnknown, v1alpha1.ReasonRetryScheduled, made.Message)
	}
}

// firstAttempt brings the attempt that is said to have been made within bounds:
// whoever creates a delivery by hand can write anything there, and a status that
// the API server refuses would never be written.
func firstAttempt(first v1alpha1.Attempt, now time.Time) v1alpha1.Attempt {
	first = attemptlog.Bounded(first, now)
	first.Number = 1
	return first
}

// due says when the next attempt is; zero: there is none.
func (f *folder) due(next time.Time) {
	f.status.NextAttemptTime, f.status.NextAttempt = nil, nil
	if !next.IsZero() {
		f.status.NextAttemptTime = new(metav1.NewMicroTime(next))
		f.status.NextAttempt = new(metav1.NewTime(next.Add(time.Second - 1).Truncate(time.Second)))
	}
}

// hasten shows when the next attempt is where that is sooner than it was: the endpoint
// that asked for a pause is the webhook's no more. One that is due at once is not
// written twice.
func (f *folder) hasten() {
	if due := dueTime(f.situation, f.status); due.After(f.now) && due.Before(f.status.NextAttemptTime.Time) {
		f.due(due)
	}
}

// doom fails a delivery that can no longer succeed.
func (f *folder) doom() {
	created := f.delivery.CreationTimestamp.Time
	switch {
	case f.status.Attempts >= mostAttempts:
		f.fail(v1alpha1.ReasonAttemptsExhausted, fmt.Sprintf("status.attempts says %d, more than are ever made", f.status.Attempts))
	case f.webhook == nil && f.now.Sub(created) >= webhookGrace:
		f.fail(v1alpha1.ReasonWebhookNotFound, fmt.Sprintf("there is no Webhook %q in this namespace, an hour after the delivery was made", f.delivery.Spec.WebhookRef.Name))
	case f.webhook != nil && ownedByAnother(f.delivery, f.webhook):
		f.fail(v1alpha1.ReasonWebhookReplaced, fmt.Sprintf("Webhook %q was deleted and made anew; this delivery was made for the old one", f.delivery.Spec.WebhookRef.Name))
	case !f.now.Before(deadline(f.delivery, f.webhook)):
		f.fail(v1alpha1.ReasonDeadlineExceeded, fmt.Sprintf("not delivered within %s", deadlineOf(f.webhook)))
	}
}

// hold says in the condition why nothing happens, and takes it back when
// something does again.
func (f *folder) hold() {
	if reason, message := held(f.situation); reason != "" {
		f.wait(reason, message)
		return
	}
	condition := meta.FindStatusCondition(f.status.Conditions, v1alpha1.ConditionSucceeded)
	if condition == nil || !isHold(condition.Reason) {
		return
	}
	if next := f.status.NextAttemptTime; next != nil && next.After(f.now) {
		f.wait(v1alpha1.ReasonRetryScheduled, f.status.ErrorMessage)
	}
}

func (f *folder) wait(reason, message string) {
	if f.status.State == "" {
		f.status.State = v1alpha1.DeliveryPending
	}
	f.condition(metav1.ConditionUnknown, reason, message)
}

// refuseRetry marks a retry request that cannot be carried out as handled, and
// says so.
func (f *folder) refuseRetry() {
	if f.status.State == v1alpha1.DeliveryFailed && isEmpty(f.delivery.Annotations, v1alpha1.RetryRequestedAtAnnotation) {
		f.status.ErrorMessage = "retry refused: " + emptyRequest(v1alpha1.RetryRequestedAtAnnotation)
		return
	}
	if !retryWanted(f.delivery, f.status) || f.phase == attempt.InFlight {
		return
	}
	var why string
	switch {
	case f.status.State == v1alpha1.DeliverySucceeded:
		why = "it has succeeded"
	case f.status.Attempts >= mostAttempts:
		why = "it has had more attempts than can be numbered"
	case f.webhook == nil:
		why = "its webhook does not exist"
	case ownedByAnother(f.delivery, f.webhook):
		why = "its webhook was deleted and made anew"
	case len(f.webhook.Spec.UnknownMembers) > 0:
		why = "the webhook has members that this version of the manager does not know; upgrade it and ask again"
	case f.delivery.Spec.Test:
		return
	case f.webhook.Spec.Suspend:
		why = "the webhook is suspended; resume it and ask again"
	case f.disabled:
		why = "the webhook is disabled; enable it and ask again"
	default:
		return
	}
	f.handleRetry()
	f.status.ErrorMessage = "retry refused: " + why
}

func (f *folder) handleRetry() {
	if asked := f.delivery.Annotations[v1alpha1.RetryRequestedAtAnnotation]; asked != "" {
		f.status.LastHandledRetryAt = cut(asked, 256)
	}
}

func (f *folder) fail(reason, message string) {
	f.due(time.Time{})
	f.status.ErrorMessage = cut(message, 1024)
	f.finish(v1alpha1.DeliveryFailed, metav1.ConditionFalse, reason, message, f.now)
}

func (f *folder) finish(state v1alpha1.DeliveryState, status metav1.ConditionStatus, reason, message string, at time.Time) {
	f.status.State = state
	f.status.CompletionTime = new(metav1.NewMicroTime(at.UTC().Truncate(time.Microsecond)))
	f.condition(status, reason, message)
}

func (f *folder) condition(status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&f.status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionSucceeded, Status: status, Reason: reason, Message: cut(message, 1024),
		ObservedGeneration: f.delivery.Generation, LastTransitionTime: metav1.NewTime(f.now),
	})
}

func isHold(reason string) bool {
	return slices.Contains([]string{
		v1alpha1.ReasonWebhookNotFound, v1alpha1.ReasonWebhookTooNew, v1alpha1.ReasonWebhookSuspended,
		v1alpha1.ReasonWebhookDisabled, v1alpha1.ReasonSigningSecretUnavailable,
	}, reason)
}

// record turns a result into an entry of the attempt log.
func record(outcome attempt.Outcome) v1alpha1.Attempt {
	var primary v1alpha1.SigningKey
	var revision string
	if note, ok := outcome.Note.(attemptNote); ok {
		primary, revision = note.primary, note.revision
	}
	return attemptlog.Entry(outcome.Number, &outcome.Result, primary, revision)
}

// appendAttempt adds an attempt and drops the oldest until the log fits.
func appendAttempt(log []v1alpha1.Attempt, made v1alpha1.Attempt) []v1alpha1.Attempt {
	log = append(slices.Clone(log), made)
	size := 0
	for i, one := range slices.Backward(log) {
		entry, _ := json.Marshal(one)
		if size += len(entry) + 1; size > attemptLogBytes || len(log)-i > 32 {
			return log[i+1:]
		}
	}
	return log
}
