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
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// webhookGrace is how long a delivery waits for a Webhook that does not exist.
	webhookGrace = time.Hour
	// defaultDeadline is deliveryDeadline where the Webhook does not say.
	defaultDeadline = 72 * time.Hour
	// handOverMost is how long after its creation a delivery is left to its creator at
	// most, whatever spec.notBefore says.
	handOverMost = time.Hour
	// longestWait is the longest from the start of an attempt to the next one that a
	// policy brings about: whatever else status.nextAttemptTime says is not believed.
	longestWait = retry.MaxTimeout + 2*retry.MaxDelay
	// mostAttempts is far more than are ever made, and fits into what numbers them.
	mostAttempts = 1_000_000
)

// situation is all that a decision about one delivery depends on.
type situation struct {
	delivery *v1alpha1.WebhookDelivery
	webhook  *v1alpha1.Webhook      // nil: not found
	disabled bool                   // by the webhook's status or by what we saw since
	signing  *signingsecret.Problem // nil: none known
	phase    attempt.Phase
	outcome  *attempt.Outcome // waits to be written; nil: none
	now      time.Time

	// owed is a status that the API server refused before; nil: none.
	owed *v1alpha1.WebhookDeliveryStatus
}

// invalid says that a delivery must never be signed.
type invalid struct{ reason, message string }

func (e *invalid) Error() string { return e.message }

// plan is what to do once the status is right.
type plan struct {
	start    bool      // hand an attempt to the runner
	number   int       // its number
	withdraw bool      // take a queued attempt out again
	at       time.Time // look again then; zero: when something changes
}

// next decides what to do with a delivery whose status is up to date.
func next(s situation) plan {
	status := &s.delivery.Status
	queued := s.phase == attempt.Queued
	start := plan{start: !queued, number: int(status.Attempts) + 1}
	wanted := retryWanted(s.delivery, status)
	switch {
	case s.phase == attempt.InFlight:
		return plan{}
	case isBeingDeleted(s.delivery):
		return plan{withdraw: queued}
	case status.State == v1alpha1.DeliveryFailed && wanted && s.signing != nil:
		return plan{withdraw: queued, at: s.signing.LookAgain}
	case status.State == v1alpha1.DeliveryFailed && wanted:
		return start
	case isFinished(status.State):
		return plan{withdraw: queued}
	}
	end := deadline(s.delivery, s.webhook)
	if handedOver(s) {
		return plan{withdraw: queued, at: earliest(end, notBefore(s.delivery))}
	}
	if reason, _ := held(s); reason != "" {
		at := end
		switch {
		case s.webhook == nil:
			at = earliest(end, s.delivery.CreationTimestamp.Add(webhookGrace))
		case s.signing != nil:
			at = earliest(end, s.signing.LookAgain)
		}
		return plan{withdraw: queued, at: at}
	}
	due := dueTime(s, status)
	if wanted || !due.After(s.now) {
		start.at = end
		return start
	}
	return plan{withdraw: queued, at: earliest(end, due)}
}

// held says why nothing may be sent now; "" if something may.
func held(s situation) (reason, message string) {
	switch {
	case s.webhook == nil:
		return v1alpha1.ReasonWebhookNotFound, fmt.Sprintf("there is no Webhook %q in this namespace; waiting an hour for it", s.delivery.Spec.WebhookRef.Name)
	case len(s.webhook.Spec.UnknownMembers) > 0:
		return v1alpha1.ReasonWebhookTooNew, tooOld(s.webhook)
	case !s.delivery.Spec.Test && s.webhook.Spec.Suspend:
		return v1alpha1.ReasonWebhookSuspended, "spec.suspend of the webhook holds it; set it to false to go on"
	case !s.delivery.Spec.Test && s.disabled:
		return v1alpha1.ReasonWebhookDisabled, "the webhook is disabled; change its url or annotate it with " + v1alpha1.EnableRequestedAtAnnotation
	case s.signing != nil:
		return v1alpha1.ReasonSigningSecretUnavailable, s.signing.Message
	}
	return "", ""
}

// tooOld says what this version of the controller does not know of a webhook.
func tooOld(webhook *v1alpha1.Webhook) string {
	return fmt.Sprintf("spec of the webhook has members that this version of the manager does not know (%s), so nothing is sent; upgrade the manager, or remove them",
		cut(strings.Join(webhook.Spec.UnknownMembers, ", "), 256))
}

// handedOver reports whether whoever created the delivery may still be making
// its first attempt. Until that is over its status is not ours to write, and a
// retry asked for adds nothing.
func handedOver(s situation) bool {
	spec := &s.delivery.Spec
	return spec.NotBefore != nil && spec.FirstAttempt == nil && s.delivery.Status.Attempts == 0 &&
		s.now.Before(notBefore(s.delivery)) && s.now.Before(deadline(s.delivery, s.webhook))
}

// notBefore is until when whoever created the delivery may be making its first
// attempt.
func notBefore(delivery *v1alpha1.WebhookDelivery) time.Time {
	return earliest(delivery.Spec.NotBefore.Time, delivery.CreationTimestamp.Add(handOverMost))
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
	due := earliest(status.NextAttemptTime.Time, last.Add(longestWait))
	if len(status.AttemptLog) == 0 {
		return due
	}
	made := &status.AttemptLog[len(status.AttemptLog)-1]
	if made.RetryAfterTime == nil || isOfEndpoint(made, s.webhook) {
		return due
	}
	return earliest(due, nextAttempt(s, made))
}

// isOfEndpoint reports whether an attempt was made with the url and the signing that
// the webhook has now. What a former endpoint says, it says of itself.
func isOfEndpoint(made *v1alpha1.Attempt, webhook *v1alpha1.Webhook) bool {
	return webhook == nil || attemptlog.IsOf(made, signingsecret.EndpointRevision(webhook), webhook.Status.EnabledTime)
}

// nextAttempt is when the policy has a delivery tried again after an attempt, and its
// endpoint, if the webhook still has it; zero: the policy has become shorter and has no
// more attempts.
func nextAttempt(s situation, made *v1alpha1.Attempt) time.Time {
	var notBefore time.Time
	if made.RetryAfterTime != nil && isOfEndpoint(made, s.webhook) {
		notBefore = made.RetryAfterTime.Time
	}
	number := int(made.Number)
	next, _ := policyOf(s.webhook).NextAttempt(number, attemptlog.Ended(made), notBefore, retry.Jitter(string(s.delivery.UID), number))
	return next.UTC().Truncate(time.Microsecond)
}

func retryWanted(delivery *v1alpha1.WebhookDelivery, status *v1alpha1.WebhookDeliveryStatus) bool {
	asked := cut(delivery.Annotations[v1alpha1.RetryRequestedAtAnnotation], 256)
	return asked != "" && asked != status.LastHandledRetryAt
}

func ownedByAnother(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook) bool {
	owner := metav1.GetControllerOf(delivery)
	return owner != nil && owner.UID != webhook.UID
}

// isBeingDeleted reports whether a delivery only waits for its finalizers, which
// may be for ever: nothing starts any more.
func isBeingDeleted(delivery *v1alpha1.WebhookDelivery) bool {
	return !delivery.DeletionTimestamp.IsZero()
}

// accepted is when a delivery's age began, at its creation at the latest:
// somebody who writes another time by hand puts off no deadline.
func accepted(delivery *v1alpha1.WebhookDelivery) time.Time {
	created := delivery.CreationTimestamp.Time
	if delivery.Spec.AcceptedTime != nil {
		return earliest(delivery.Spec.AcceptedTime.Time, created.Add(time.Second)) // it is cut to seconds
	}
	return created
}

func deadline(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook) time.Time {
	return accepted(delivery).Add(deadlineOf(webhook))
}

func deadlineOf(webhook *v1alpha1.Webhook) time.Duration {
	if webhook != nil && webhook.Spec.DeliveryDeadline != nil {
		return webhook.Spec.DeliveryDeadline.Duration
	}
	return defaultDeadline
}

// policyOf is the webhook's retry policy with defaults filled in.
func policyOf(webhook *v1alpha1.Webhook) retry.Policy {
	policy := retry.Default()
	if webhook == nil || webhook.Spec.RetryPolicy == nil {
		return policy
	}
	own := webhook.Spec.RetryPolicy
	if own.Delays != nil {
		policy.Delays = make([]time.Duration, 0, len(*own.Delays))
		for _, delay := range *own.Delays {
			policy.Delays = append(policy.Delays, delay.Duration)
		}
	}
	if own.Timeout != nil {
		policy.Timeout = own.Timeout.Duration
	}
	if own.JitterPercent != nil {
		policy.JitterPercent = int(*own.JitterPercent)
	}
	return policy
}

// cut shortens text to at most limit bytes at a rune's boundary.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xC0 == 0x80 {
		limit--
	}
	return text[:limit]
}

// clockSlack is how far ahead another clock may be.
const clockSlack = time.Minute

// notAfter is a time at which something is said to have happened: now, if that is
// still to come.
func notAfter(said, now time.Time) time.Time {
	if said.After(now.Add(clockSlack)) {
		return now
	}
	return said
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
