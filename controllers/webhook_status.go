// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// nextWebhookStatus returns the status that a Webhook should have.
func nextWebhookStatus(s *webhookScope, observations *Observations, bounds backlogQuota) *v1alpha1.WebhookStatus {
	b := webhookStatusBuilder{webhookScope: s, status: s.webhook.Status.DeepCopy()}
	b.status.ObservedGeneration = s.webhook.Generation
	b.status.WebhookID = identity.WebhookID(s.webhook.Namespace, s.webhook.Name)
	b.status.EndpointRevision = signingsecret.EndpointRevision(s.webhook)
	if s.rotated {
		b.status.LastHandledRotateAt = text.Truncate(s.webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation], 256)
	}
	b.status.LastHandledEnableAt = text.Truncate(s.webhook.Annotations[v1alpha1.EnableRequestedAtAnnotation], 256)
	b.setCounters()
	b.setSigning(observations)
	facts := observations.Facts(s.webhook)
	if s.enabled {
		facts = health.Enable(facts, s.now)
	}
	b.setHealth(facts, observations.disableAfter)
	b.setReady()
	b.setEventTypes()
	b.setBacklog(bounds)
	return b.status
}

// webhookStatusBuilder carries the status while nextWebhookStatus computes it.
type webhookStatusBuilder struct {
	*webhookScope
	status *v1alpha1.WebhookStatus
}

func (b *webhookStatusBuilder) setCounters() {
	b.status.DeliveriesSucceeded += b.observed.succeeded
	b.status.DeliveriesFailed += b.observed.failed
	b.status.DeliveriesUnrecorded += b.observed.unrecorded
	b.status.DeliveriesSkipped += b.observed.skipped
	if last := b.observed.lastSkipped; !last.IsZero() && (b.status.LastSkippedTime == nil || last.After(b.status.LastSkippedTime.Time)) {
		b.status.LastSkippedTime = new(metav1.NewTime(last.UTC().Truncate(time.Second)))
	}
	b.status.DeliveriesDeletedEarly += b.observed.deletedEarly
	b.status.DeliveriesPending = b.unfinished.count
	switch until := b.observed.retryAfter; {
	case b.endpointMoved: // the Retry-After of the former endpoint
		b.status.RetryAfterTime = nil
	case until.After(b.now):
		b.status.RetryAfterTime = new(metav1.NewTime(until.Add(time.Second - 1).Truncate(time.Second)))
	case b.status.RetryAfterTime == nil:
	case !b.status.RetryAfterTime.After(b.now), b.status.RetryAfterTime.After(b.now.Add(retry.MaxRetryAfter + time.Second)): // over, or written by hand
		b.status.RetryAfterTime = nil
	}
}

// setSigning sets the name of the signing Secret and the progress of a rotation.
func (b *webhookStatusBuilder) setSigning(observations *Observations) {
	signing := &v1alpha1.SigningStatus{SecretName: signingsecret.RefOf(b.webhook).Name}
	if b.signingProblem == nil && b.secrets.Overlaps(b.now) {
		signing.Primary = v1alpha1.SigningKeyPrevious
		if observations.IsConfirmed(b.webhook, rotationObservationOf(b.secrets)) {
			signing.Primary = v1alpha1.SigningKeyCurrent
		}
		if end := b.secrets.OverlapEnd; !end.IsZero() {
			signing.OverlapEndTime = new(metav1.NewTime(end.Truncate(time.Second)))
		}
	}
	b.status.Signing = signing
}

// setHealth sets the state and the condition EndpointHealthy.
func (b *webhookStatusBuilder) setHealth(facts health.Facts, disableAfter time.Duration) {
	before := healthState(b.webhook)
	if b.enabled {
		before = health.Active
		b.status.EnabledTime = new(metav1.NewMicroTime(b.now.UTC().Truncate(time.Microsecond)))
	}
	state := health.Evaluate(before, facts, disableAfter, b.now)
	b.status.State = v1alpha1.WebhookState(state)
	b.status.LastSuccessTime = microTime(facts.LastSuccess)
	b.status.LastFailureTime = microTime(facts.LastFailure)
	b.status.FailingSinceTime = nil
	if state != health.Active {
		b.status.FailingSinceTime = microTime(facts.FirstFailure)
	}
	switch {
	case state == health.Disabled && facts.GoneAt.After(facts.EnabledAt):
		b.setCondition(v1alpha1.ConditionEndpointHealthy, metav1.ConditionFalse, v1alpha1.ReasonEndpointGone,
			"the endpoint answered 410 Gone")
	case state == health.Disabled:
		b.setCondition(v1alpha1.ConditionEndpointHealthy, metav1.ConditionFalse, v1alpha1.ReasonFailingTooLong,
			fmt.Sprintf("deliveries have failed for %s or longer without a success", disableAfter))
	case state == health.Failing:
		b.setCondition(v1alpha1.ConditionEndpointHealthy, metav1.ConditionFalse, v1alpha1.ReasonDeliveriesFailing,
			"a delivery has failed for good and none has succeeded since"+b.latestFailure()+"; see: "+b.listCommand(v1alpha1.DeliveryFailed))
	case b.attemptsFail(facts):
		b.setCondition(v1alpha1.ConditionEndpointHealthy, metav1.ConditionFalse, v1alpha1.ReasonAttemptsFailing,
			fmt.Sprintf("attempts have failed for %s or longer without a success%s; see: %s", health.AttemptsFailingAfter, b.latestFailure(), b.listCommand(v1alpha1.DeliveryRetrying)))
	case facts.LastSuccess.IsZero() && facts.LastFailure.IsZero():
		b.setCondition(v1alpha1.ConditionEndpointHealthy, metav1.ConditionUnknown, v1alpha1.ReasonNoDeliveries, "no delivery has finished yet")
	case !facts.LastSuccess.After(facts.EnabledAt) && !facts.LastFailure.After(facts.EnabledAt):
		b.setCondition(v1alpha1.ConditionEndpointHealthy, metav1.ConditionUnknown, v1alpha1.ReasonNoDeliveries,
			"no delivery has finished since the webhook was enabled or its endpoint changed")
	default:
		b.setCondition(v1alpha1.ConditionEndpointHealthy, metav1.ConditionTrue, v1alpha1.ReasonDelivering, "deliveries succeed")
	}
}

// attemptsFail reports whether the endpoint accepts nothing though no delivery has
// failed for good. The answer does not change while the webhook is suspended or while
// the cache of deliveries syncs.
func (b *webhookStatusBuilder) attemptsFail(facts health.Facts) bool {
	before := meta.FindStatusCondition(b.status.Conditions, v1alpha1.ConditionEndpointHealthy)
	failed := before != nil && before.Reason == v1alpha1.ReasonAttemptsFailing
	switch {
	case failed && b.unfinished.partial:
		return !facts.CountsSince().After(before.LastTransitionTime.Time)
	case !failed && b.webhook.Spec.Suspend:
		return false
	}
	return health.AttemptsFailing(facts, b.unfinished.failedSince, b.now)
}

// latestFailurePrefix begins the part of a message about the newest failed attempt.
const latestFailurePrefix = ", the latest with "

// latestFailure describes the newest known failed attempt; "": none.
func (b *webhookStatusBuilder) latestFailure() string {
	if b.unfinished.latest.Reason == "" {
		return ""
	}
	return latestFailurePrefix + failureText(b.unfinished.latest)
}

// failureText names the failure of an attempt: "HTTPStatus 500", "Timeout".
func failureText(entry v1alpha1.Attempt) string {
	if entry.ResponseStatus == nil {
		return entry.Reason
	}
	return entry.Reason + " " + strconv.Itoa(int(*entry.ResponseStatus))
}

// listCommand is the command that lists the webhook's deliveries in a state.
func (b *webhookStatusBuilder) listCommand(state v1alpha1.DeliveryState) string {
	return fmt.Sprintf("kubectl get webhookdeliveries --field-selector spec.webhookRef.name=%s,status.state=%s", b.webhook.Name, state)
}

// setReady sets Ready by whether the configuration works; Reconciling and Stalled exist
// only while they are True (kstatus).
func (b *webhookStatusBuilder) setReady() {
	meta.RemoveStatusCondition(&b.status.Conditions, v1alpha1.ConditionReconciling)
	meta.RemoveStatusCondition(&b.status.Conditions, v1alpha1.ConditionStalled)
	switch {
	case len(b.webhook.Spec.UnknownMembers) > 0:
		b.setStalled(v1alpha1.ReasonManagerTooOld, unknownMembersMessage(b.webhook))
	case b.status.State == v1alpha1.WebhookDisabled:
		b.setStalled(v1alpha1.ReasonDisabled, "the webhook is disabled; mend the endpoint, then change spec.url or run: kubectl annotate --overwrite webhook "+
			b.webhook.Name+" "+v1alpha1.EnableRequestedAtAnnotation+"=\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"")
	case b.urlProblem != nil:
		b.setStalled(v1alpha1.ReasonURLForbidden, "spec.url: "+b.urlProblem.Message+"; use a public https endpoint, or have the operator allow it (--allow-cidr, --allow-http of the dispatcher)")
	case b.signingProblem != nil && b.signingProblem.Reason == v1alpha1.ReasonSecretNotFound && isSecretAnnounced(b.webhook, b.now):
		b.setProgressing("waiting for the signing secret, which the author of the webhook is about to create")
	case b.signingProblem != nil && b.signingProblem.Reason == v1alpha1.ReasonSecretNotFound:
		b.setCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, b.signingProblem.Reason, b.signingProblem.Message)
		b.setCondition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressing, "waiting for the signing secret")
	case b.signingProblem != nil && b.refusal != nil && !b.refusal.lasting:
		b.setProgressing(b.signingProblem.Message)
	case b.signingProblem != nil:
		b.setStalled(b.signingProblem.Reason, b.signingProblem.Message)
	case b.refusal != nil && b.refusal.lasting && b.refusal.reason != "":
		b.setStalled(b.refusal.reason, b.refusal.message)
	case !b.urlChecked && !b.checkedBefore():
		b.setProgressing("waiting for the dispatcher to check spec.url")
	case b.webhook.Spec.Suspend:
		b.setCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSuspended, "suspended: deliveries are collected and not sent")
	case meta.IsStatusConditionFalse(b.status.Conditions, v1alpha1.ConditionEndpointHealthy):
		b.setCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "deliveries are signed and sent, but the endpoint does not take them"+b.latestFailure())
	default:
		b.setCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "deliveries are signed and sent")
	}
}

func (b *webhookStatusBuilder) setProgressing(message string) {
	b.setCondition(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonProgressing, message)
	b.setCondition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressing, message)
}

func (b *webhookStatusBuilder) setStalled(reason, message string) {
	b.setCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	b.setCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, reason, message)
}

// checkedBefore reports whether this very spec was Ready while the dispatcher
// answered.
func (b *webhookStatusBuilder) checkedBefore() bool {
	return b.webhook.Status.ObservedGeneration == b.webhook.Generation && isWebhookReady(b.webhook)
}

func (b *webhookStatusBuilder) setEventTypes() {
	if len(b.unregistered) == 0 {
		b.setCondition(v1alpha1.ConditionEventTypesRegistered, metav1.ConditionTrue, v1alpha1.ReasonAllRegistered, "every event type is in the catalogue")
		return
	}
	b.setCondition(v1alpha1.ConditionEventTypesRegistered, metav1.ConditionFalse, v1alpha1.ReasonNotRegistered,
		"not in the catalogue (kubectl get eventtypes): "+strings.Join(b.unregistered, ", "))
}

// backlogQuota says when the backlog of a webhook counts as full.
type backlogQuota struct {
	// unfinished is the most unfinished deliveries, fullFor how long the backlog counts
	// as full after a delivery was skipped.
	unfinished int
	fullFor    time.Duration
}

func (b *webhookStatusBuilder) setBacklog(bounds backlogQuota) {
	switch {
	case b.unfinished.count >= int64(bounds.unfinished):
		b.setCondition(v1alpha1.ConditionBacklogFull, metav1.ConditionTrue, v1alpha1.ReasonBacklogAtLimit,
			fmt.Sprintf("%d or more deliveries are unfinished; new events are not taken until the endpoint has caught up", bounds.unfinished))
	case b.now.Before(lastBacklogFull(b.webhookScope).Add(bounds.fullFor)):
		b.setCondition(v1alpha1.ConditionBacklogFull, metav1.ConditionTrue, v1alpha1.ReasonDeliveriesSkipped,
			"events come faster than their deliveries can be stored while the endpoint fails; those that are skipped are counted in status.deliveriesSkipped")
	default:
		b.setCondition(v1alpha1.ConditionBacklogFull, metav1.ConditionFalse, v1alpha1.ReasonBacklogBelowLimit, "new events are accepted")
	}
}

// lastBacklogFull is when a delivery was last skipped because of a full backlog, by the
// observations of this process or by the status.
func lastBacklogFull(s *webhookScope) time.Time {
	status := &s.webhook.Status
	if full := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionBacklogFull); full != nil && full.Reason == v1alpha1.ReasonDeliveriesSkipped && status.LastSkippedTime != nil {
		return latest(s.observed.lastBacklogFull, notAfter(status.LastSkippedTime.Time, s.now))
	}
	return s.observed.lastBacklogFull
}

func (b *webhookStatusBuilder) setCondition(name string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&b.status.Conditions, metav1.Condition{
		Type: name, Status: status, Reason: reason, Message: text.Truncate(message, 1024),
		ObservedGeneration: b.webhook.Generation, LastTransitionTime: metav1.NewTime(b.now.Truncate(time.Second)), // as it is stored
	})
}

// enableRequested reports whether a request to enable the webhook is not handled yet.
func enableRequested(webhook *v1alpha1.Webhook) bool {
	request := text.Truncate(webhook.Annotations[v1alpha1.EnableRequestedAtAnnotation], 256)
	return request != "" && request != webhook.Status.LastHandledEnableAt
}

// rotateRequested reports whether a request for a new secret is not handled yet.
func rotateRequested(webhook *v1alpha1.Webhook) bool {
	request := text.Truncate(webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation], 256)
	return request != "" && request != webhook.Status.LastHandledRotateAt
}

// endpointChanged reports whether url or signing changed since the last status.
func endpointChanged(webhook *v1alpha1.Webhook) bool {
	known := webhook.Status.EndpointRevision
	return known != "" && known != signingsecret.EndpointRevision(webhook)
}

// isMinorStatus reports whether the write of a status can wait: it changes only counters,
// times and messages, or says that attempts fail less than a minute after the last
// status that said so. An endpoint that accepts a delivery now and then costs two
// writes a minute that way, and not one for each change. The first message about the
// latest failed attempt is not minor.
func (r *WebhookReconciler) isMinorStatus(s *webhookScope, status *v1alpha1.WebhookStatus) bool {
	before, after := withoutVolatile(&s.webhook.Status), withoutVolatile(status)
	if startsFailing(before, after) {
		last, _ := r.lastFailing.Load(client.ObjectKeyFromObject(s.webhook))
		if at, ok := last.(time.Time); !ok || s.now.Sub(at) >= statusInterval {
			return false
		}
		healthy := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionEndpointHealthy)
		if was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionEndpointHealthy); was != nil {
			*healthy = *was
		}
	} else if namesLatestFailure(status) && !namesLatestFailure(&s.webhook.Status) && isUnhealthy(before) {
		return false
	}
	return equality.Semantic.DeepEqual(before, after)
}

// namesLatestFailure reports whether a status describes the latest failed attempt.
func namesLatestFailure(status *v1alpha1.WebhookStatus) bool {
	healthy := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionEndpointHealthy)
	return healthy != nil && strings.Contains(healthy.Message, latestFailurePrefix)
}

// isUnhealthy reports whether a status says that the endpoint accepts nothing.
func isUnhealthy(status *v1alpha1.WebhookStatus) bool {
	return meta.IsStatusConditionFalse(status.Conditions, v1alpha1.ConditionEndpointHealthy)
}

// startsFailing reports whether a status says that attempts fail and the one before it
// did not.
func startsFailing(before, after *v1alpha1.WebhookStatus) bool {
	return showsAttemptsFailing(after) && !showsAttemptsFailing(before)
}

// showsAttemptsFailing reports whether a status says that attempts fail.
func showsAttemptsFailing(status *v1alpha1.WebhookStatus) bool {
	healthy := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionEndpointHealthy)
	return healthy != nil && healthy.Reason == v1alpha1.ReasonAttemptsFailing
}

// withoutVolatile is a status without counters, times, and the description of the latest
// failed attempt, which change all the time.
func withoutVolatile(status *v1alpha1.WebhookStatus) *v1alpha1.WebhookStatus {
	out := status.DeepCopy()
	out.LastSuccessTime, out.LastFailureTime, out.RetryAfterTime, out.LastSkippedTime = nil, nil, nil, nil
	out.DeliveriesSucceeded, out.DeliveriesFailed, out.DeliveriesUnrecorded, out.DeliveriesSkipped, out.DeliveriesPending = 0, 0, 0, 0, 0
	for i := range out.Conditions {
		c := &out.Conditions[i]
		if c.Type == v1alpha1.ConditionEndpointHealthy || c.Type == v1alpha1.ConditionReady && c.Reason == v1alpha1.ReasonReady {
			c.Message = ""
		}
	}
	return out
}

// isWebhookDisabled reports whether a webhook's status says Disabled.
func isWebhookDisabled(webhook *v1alpha1.Webhook) bool {
	return webhook.Status.State == v1alpha1.WebhookDisabled
}

func isWebhookReady(webhook *v1alpha1.Webhook) bool {
	return meta.IsStatusConditionTrue(webhook.Status.Conditions, v1alpha1.ConditionReady)
}

// unknownMembersMessage says which members of a webhook's spec this version of the manager
// does not know.
func unknownMembersMessage(webhook *v1alpha1.Webhook) string {
	return fmt.Sprintf("spec of the webhook has members that this version of the manager does not know (%s), so nothing is sent; upgrade the manager, or remove them",
		text.Truncate(strings.Join(webhook.Spec.UnknownMembers, ", "), 256))
}
