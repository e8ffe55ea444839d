// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/settings"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

const (
	// webhookGrace is how long a delivery waits for a Webhook that does not exist.
	webhookGrace = time.Hour
	// maxHandOver bounds spec.notBefore: after its creation a delivery belongs to its
	// creator no longer than this.
	maxHandOver = time.Hour
	// maxRetryWait is the longest time from the start of an attempt to the next one that
	// a policy allows. A later status.nextAttemptTime was written by hand and is ignored.
	maxRetryWait = retry.MaxTimeout + 2*retry.MaxDelay
	// maxAttempts is far more attempts than a policy allows, and fits an int32.
	maxAttempts = 1_000_000
)

// situation is all that a decision about one delivery depends on.
type situation struct {
	delivery       *v1alpha1.WebhookDelivery
	webhook        *v1alpha1.Webhook      // nil: not found
	disabled       bool                   // by the webhook's status or by observations since
	signingProblem *signingsecret.Problem // nil: none known
	phase          attempt.Phase
	outcome        *attempt.Outcome // not acknowledged yet; nil: none
	now            time.Time

	// deferred is a status that the API server refused to write; nil: none.
	deferred *v1alpha1.WebhookDeliveryStatus
}

// invalidDelivery says that a delivery must never be signed.
type invalidDelivery struct{ reason, message string }

func (e *invalidDelivery) Error() string { return e.message }

// plan is what to do with a delivery once its status is up to date.
type plan struct {
	start     bool      // hand an attempt to the runner
	number    int       // its number
	withdraw  bool      // take a queued attempt out again
	lookAgain time.Time // look again then; zero: when something changes
}

// nextPlan decides what to do with a delivery whose status is up to date.
func nextPlan(s situation) plan {
	status := &s.delivery.Status
	queued := s.phase == attempt.Queued
	start := plan{start: !queued, number: int(status.Attempts) + 1}
	requested := retryRequested(s.delivery, status)
	switch {
	case s.phase == attempt.UnderWay:
		return plan{}
	case isBeingDeleted(s.delivery):
		return plan{withdraw: queued}
	case status.State == v1alpha1.DeliveryFailed && requested && s.signingProblem != nil:
		return plan{withdraw: queued, lookAgain: s.signingProblem.LookAgain}
	case status.State == v1alpha1.DeliveryFailed && requested:
		return start
	case isFinished(status.State):
		return plan{withdraw: queued}
	}
	end := deadline(s.delivery, s.webhook)
	if isHandedOver(s) {
		return plan{withdraw: queued, lookAgain: earliest(end, notBefore(s.delivery))}
	}
	if reason, _ := holdReason(s); reason != "" {
		at := end
		switch {
		case s.webhook == nil:
			at = earliest(end, s.delivery.CreationTimestamp.Add(webhookGrace))
		case s.signingProblem != nil:
			at = earliest(end, s.signingProblem.LookAgain)
		}
		return plan{withdraw: queued, lookAgain: at}
	}
	due := dueTime(s, status)
	if requested || !due.After(s.now) {
		start.lookAgain = end
		return start
	}
	return plan{withdraw: queued, lookAgain: earliest(end, due)}
}

// holdReason says why the delivery is held; "": it is not.
func holdReason(s situation) (reason, message string) {
	switch {
	case s.webhook == nil:
		return v1alpha1.ReasonWebhookNotFound, fmt.Sprintf("there is no Webhook %q in this namespace; waiting an hour for it", s.delivery.Spec.WebhookRef.Name)
	case len(s.webhook.Spec.UnknownMembers) > 0:
		return v1alpha1.ReasonWebhookTooNew, unknownMembersMessage(s.webhook)
	case !s.delivery.Spec.Test && s.webhook.Spec.Suspend:
		return v1alpha1.ReasonWebhookSuspended, "spec.suspend of the webhook holds it; set it to false to go on"
	case !s.delivery.Spec.Test && s.disabled:
		return v1alpha1.ReasonWebhookDisabled, "the webhook is disabled; change its url or annotate it with " + v1alpha1.EnableRequestedAtAnnotation
	case s.signingProblem != nil:
		return v1alpha1.ReasonSigningSecretUnavailable, s.signingProblem.Message
	}
	return "", ""
}

// unknownMembersMessage says which members of a webhook's spec this version of the manager
// does not know.
func unknownMembersMessage(webhook *v1alpha1.Webhook) string {
	return fmt.Sprintf("spec of the webhook has members that this version of the manager does not know (%s), so nothing is sent; upgrade the manager, or remove them",
		text.Truncate(strings.Join(webhook.Spec.UnknownMembers, ", "), 256))
}

// isHandedOver reports whether the creator of the delivery may still be making its
// first attempt. Until then the manager does not write its status, and a requested
// retry adds nothing.
func isHandedOver(s situation) bool {
	spec := &s.delivery.Spec
	return spec.NotBefore != nil && spec.FirstAttempt == nil && s.delivery.Status.Attempts == 0 &&
		s.now.Before(notBefore(s.delivery)) && s.now.Before(deadline(s.delivery, s.webhook))
}

// notBefore is the end of the hand-over: until then the creator of the delivery may
// be making its first attempt.
func notBefore(delivery *v1alpha1.WebhookDelivery) time.Time {
	return earliest(delivery.Spec.NotBefore.Time, delivery.CreationTimestamp.Add(maxHandOver))
}

func isFinished(state v1alpha1.DeliveryState) bool {
	return state == v1alpha1.DeliverySucceeded || state == v1alpha1.DeliveryFailed
}

// dueTime is when the next attempt may start after those that a status shows; zero: at
// once. See handedOver for the first one.
func dueTime(s situation, status *v1alpha1.WebhookDeliveryStatus) time.Time {
	if status.NextAttemptTime == nil {
		return time.Time{}
	}
	last := s.delivery.CreationTimestamp.Time
	if status.LastAttemptTime != nil {
		last = earliest(status.LastAttemptTime.Time, s.now)
	}
	due := earliest(status.NextAttemptTime.Time, last.Add(maxRetryWait))
	if len(status.AttemptLog) == 0 {
		return due
	}
	latest := &status.AttemptLog[len(status.AttemptLog)-1]
	if latest.RetryAfterTime == nil || isOfCurrentEndpoint(latest, s.webhook) {
		return due
	}
	return earliest(due, nextAttemptTime(s, latest))
}

// isOfCurrentEndpoint reports whether an attempt was made with the url and the signing that
// the webhook has now. An answer of a former endpoint says nothing about the present one.
func isOfCurrentEndpoint(entry *v1alpha1.Attempt, webhook *v1alpha1.Webhook) bool {
	return webhook == nil || attemptlog.IsOf(entry, signingsecret.EndpointRevision(webhook), webhook.Status.EnabledTime)
}

// nextAttemptTime is when the retry policy, and a Retry-After of the present endpoint, allow
// the attempt after this one; zero: the policy has been shortened and allows none.
func nextAttemptTime(s situation, entry *v1alpha1.Attempt) time.Time {
	var notBefore time.Time
	if entry.RetryAfterTime != nil && isOfCurrentEndpoint(entry, s.webhook) {
		notBefore = entry.RetryAfterTime.Time
	}
	number := int(entry.Number)
	next, _ := settings.RetryPolicy(s.webhook).NextAttempt(number, attemptlog.Ended(entry), notBefore, retry.Jitter(string(s.delivery.UID), number))
	return next.UTC().Truncate(time.Microsecond)
}

func retryRequested(delivery *v1alpha1.WebhookDelivery, status *v1alpha1.WebhookDeliveryStatus) bool {
	request := text.Truncate(delivery.Annotations[v1alpha1.RetryRequestedAtAnnotation], 256)
	return request != "" && request != status.LastHandledRetryAt
}

func ownedByAnother(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook) bool {
	owner := metav1.GetControllerOf(delivery)
	return owner != nil && owner.UID != webhook.UID
}

// isBeingDeleted reports whether a delivery waits for its finalizers, possibly for
// ever: no attempt of it starts.
func isBeingDeleted(delivery *v1alpha1.WebhookDelivery) bool {
	return !delivery.DeletionTimestamp.IsZero()
}

// acceptedTime is when a delivery's age began, at its creation at the latest: a time
// written by hand does not postpone the deadline.
func acceptedTime(delivery *v1alpha1.WebhookDelivery) time.Time {
	created := delivery.CreationTimestamp.Time
	if delivery.Spec.AcceptedTime != nil {
		return earliest(delivery.Spec.AcceptedTime.Time, created.Add(time.Second)) // it is cut to seconds
	}
	return created
}

func deadline(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook) time.Time {
	return acceptedTime(delivery).Add(settings.Deadline(webhook))
}

// clockSlack is how far ahead another clock may be.
const clockSlack = time.Minute

// notAfter bounds a claimed time of a past event by now: clocks differ, and objects
// can be written by hand.
func notAfter(claimed, now time.Time) time.Time {
	if claimed.After(now.Add(clockSlack)) {
		return now
	}
	return claimed
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
