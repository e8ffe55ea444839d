// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// judge returns the status that a Webhook should have.
func judge(s *webhookScope, observations *Observations, bounds backlogBounds) *v1alpha1.WebhookStatus {
	j := judgement{webhookScope: s, status: s.webhook.Status.DeepCopy()}
	j.status.ObservedGeneration = s.webhook.Generation
	j.status.WebhookID = identity.WebhookID(s.webhook.Namespace, s.webhook.Name)
	j.status.EndpointRevision = signingsecret.EndpointRevision(s.webhook)
	if s.rotated {
		j.status.LastHandledRotateAt = cut(s.webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation], 256)
	}
	j.status.LastHandledEnableAt = cut(s.webhook.Annotations[v1alpha1.EnableRequestedAtAnnotation], 256)
	j.count()
	j.rotation(observations)
	facts := observations.Facts(s.webhook)
	if s.enabled {
		facts = health.Enable(facts, s.now)
	}
	j.health(facts, observations.disableAfter)
	j.ready()
	j.eventTypes()
	j.backlog(bounds)
	return j.status
}

// judgement carries the status while judge works on it.
type judgement struct {
	*webhookScope
	status *v1alpha1.WebhookStatus
}

func (j *judgement) count() {
	j.status.DeliveriesSucceeded += j.news.succeeded
	j.status.DeliveriesFailed += j.news.failed
	j.status.DeliveriesUnrecorded += j.news.unrecorded
	j.status.DeliveriesSkipped += j.news.skipped
	if last := j.news.lastSkipped; !last.IsZero() && (j.status.LastSkippedTime == nil || last.After(j.status.LastSkippedTime.Time)) {
		j.status.LastSkippedTime = new(metav1.NewTime(last.UTC().Truncate(time.Second)))
	}
	j.status.DeliveriesDeletedEarly += j.news.deletedEarly
	j.status.DeliveriesPending = j.waiting.count
	switch until := j.news.holdUntil; {
	case j.moved: // what the former endpoint asked for
		j.status.RetryAfterTime = nil
	case until.After(j.now):
		j.status.RetryAfterTime = new(metav1.NewTime(until.Add(time.Second - 1).Truncate(time.Second)))
	case j.status.RetryAfterTime == nil:
	case !j.status.RetryAfterTime.After(j.now), j.status.RetryAfterTime.After(j.now.Add(retry.MaxRetryAfter + time.Second)): // over, or never asked for
		j.status.RetryAfterTime = nil
	}
}

// rotation says which Secret signs and where a rotation stands.
func (j *judgement) rotation(observations *Observations) {
	signing := &v1alpha1.SigningStatus{SecretName: signingsecret.RefOf(j.webhook).Name}
	if j.signing == nil && j.secrets.Overlaps(j.now) {
		signing.Primary = v1alpha1.SigningKeyPrevious
		if observations.IsConfirmed(j.webhook, rotationOf(j.secrets)) {
			signing.Primary = v1alpha1.SigningKeyCurrent
		}
		if end := j.secrets.OverlapEnd; !end.IsZero() {
			signing.OverlapEndTime = new(metav1.NewTime(end.Truncate(time.Second)))
		}
	}
	j.status.Signing = signing
}

// health sets the state and the condition EndpointHealthy.
func (j *judgement) health(facts health.Facts, disableAfter time.Duration) {
	before := healthState(j.webhook)
	if j.enabled {
		before = health.Active
		j.status.EnabledTime = new(metav1.NewMicroTime(j.now.UTC().Truncate(time.Microsecond)))
	}
	state := health.Evaluate(before, facts, disableAfter, j.now)
	j.status.State = v1alpha1.WebhookState(state)
	j.status.LastSuccessTime = microTime(facts.LastSuccess)
	j.status.LastFailureTime = microTime(facts.LastFailure)
	j.status.FailingSinceTime = nil
	if state != health.Active {
		j.status.FailingSinceTime = microTime(facts.FirstFailure)
	}
	switch {
	case state == health.Disabled && facts.GoneAt.After(facts.EnabledAt):
		j.set(v1alpha1.ConditionEndpointHealthy, metav1.ConditionFalse, v1alpha1.ReasonEndpointGone,
			"the endpoint answered 410 Gone")
	case state == health.Disabled:
		j.set(v1alpha1.ConditionEndpointHealthy, metav1.ConditionFalse, v1alpha1.ReasonFailingTooLong,
			fmt.Sprintf("deliveries have failed for %s or longer without a success", disableAfter))
	case state == health.Failing:
		j.set(v1alpha1.ConditionEndpointHealthy, metav1.ConditionFalse, v1alpha1.ReasonDeliveriesFailing,
			"a delivery has failed for good and none has succeeded since"+j.latest()+"; see: "+j.deliveriesIn(v1alpha1.DeliveryFailed))
	case j.attemptsFail(facts):
		j.set(v1alpha1.ConditionEndpointHealthy, metav1.ConditionFalse, v1alpha1.ReasonAttemptsFailing,
			fmt.Sprintf("attempts have failed for %s or longer without a success%s; see: %s", health.AttemptsFailingAfter, j.latest(), j.deliveriesIn(v1alpha1.DeliveryRetrying)))
	case facts.LastSuccess.IsZero() && facts.LastFailure.IsZero():
		j.set(v1alpha1.ConditionEndpointHealthy, metav1.ConditionUnknown, v1alpha1.ReasonNoDeliveries, "no delivery has finished yet")
	case !facts.LastSuccess.After(facts.EnabledAt) && !facts.LastFailure.After(facts.EnabledAt):
		j.set(v1alpha1.ConditionEndpointHealthy, metav1.ConditionUnknown, v1alpha1.ReasonNoDeliveries,
			"no delivery has finished since the webhook was enabled or its endpoint changed")
	default:
		j.set(v1alpha1.ConditionEndpointHealthy, metav1.ConditionTrue, v1alpha1.ReasonDelivering, "deliveries succeed")
	}
}

// attemptsFail reports whether the endpoint takes nothing though no delivery has
// failed for good. While a webhook is suspended, and while deliveries are still
// being read, nothing new is found out.
func (j *judgement) attemptsFail(facts health.Facts) bool {
	before := findCondition(j.status.Conditions, v1alpha1.ConditionEndpointHealthy)
	failed := before != nil && before.Reason == v1alpha1.ReasonAttemptsFailing
	switch {
	case failed && j.waiting.partial:
		return !facts.CountsSince().After(before.LastTransitionTime.Time)
	case !failed && j.webhook.Spec.Suspend:
		return false
	}
	return health.AttemptsFailing(facts, j.waiting.failedSince, j.now)
}

// latestWith begins how the newest attempt failed.
const latestWith = ", the latest with "

// latest says how the newest attempt failed that is known of.
func (j *judgement) latest() string {
	if j.waiting.latest.Reason == "" {
		return ""
	}
	return latestWith + outcomeText(j.waiting.latest)
}

// deliveriesIn is the command that lists the webhook's deliveries in a state.
func (j *judgement) deliveriesIn(state v1alpha1.DeliveryState) string {
	return fmt.Sprintf("kubectl get webhookdeliveries --field-selector spec.webhookRef.name=%s,status.state=%s", j.webhook.Name, state)
}

// ready says whether the configuration works; Reconciling and Stalled exist
// only while they are True (kstatus).
func (j *judgement) ready() {
	meta.RemoveStatusCondition(&j.status.Conditions, v1alpha1.ConditionReconciling)
	meta.RemoveStatusCondition(&j.status.Conditions, v1alpha1.ConditionStalled)
	switch {
	case len(j.webhook.Spec.UnknownMembers) > 0:
		j.stalled(v1alpha1.ReasonManagerTooOld, tooOld(j.webhook))
	case j.status.State == v1alpha1.WebhookDisabled:
		j.stalled(v1alpha1.ReasonDisabled, "the webhook is disabled; mend the endpoint, then change spec.url or run: kubectl annotate --overwrite webhook "+
			j.webhook.Name+" "+v1alpha1.EnableRequestedAtAnnotation+"=\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"")
	case j.url != nil:
		j.stalled(v1alpha1.ReasonURLForbidden, "spec.url: "+j.url.Message+"; use a public https endpoint, or have the operator allow it (--allow-cidr, --allow-http of the dispatcher)")
	case j.signing != nil && j.signing.Reason == v1alpha1.ReasonSecretNotFound && secretFollows(j.webhook, j.now):
		j.progressing("waiting for the signing secret, which the author of the webhook is about to create")
	case j.signing != nil && j.signing.Reason == v1alpha1.ReasonSecretNotFound:
		j.set(v1alpha1.ConditionReady, metav1.ConditionFalse, j.signing.Reason, j.signing.Message)
		j.set(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressing, "waiting for the signing secret")
	case j.signing != nil && j.refused != nil && !j.refused.lasting:
		j.progressing(j.signing.Message)
	case j.signing != nil:
		j.stalled(j.signing.Reason, j.signing.Message)
	case j.refused != nil && j.refused.lasting && j.refused.reason != "":
		j.stalled(j.refused.reason, j.refused.message)
	case !j.urlKnown && !j.checkedBefore():
		j.progressing("waiting for the dispatcher to check spec.url")
	case j.webhook.Spec.Suspend:
		j.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSuspended, "suspended: deliveries are collected and not sent")
	case meta.IsStatusConditionFalse(j.status.Conditions, v1alpha1.ConditionEndpointHealthy):
		j.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "deliveries are signed and sent, but the endpoint does not take them"+j.latest())
	default:
		j.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "deliveries are signed and sent")
	}
}

func (j *judgement) progressing(message string) {
	j.set(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonProgressing, message)
	j.set(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressing, message)
}

func (j *judgement) stalled(reason, message string) {
	j.set(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
	j.set(v1alpha1.ConditionStalled, metav1.ConditionTrue, reason, message)
}

// checkedBefore reports whether this very spec was found good while the
// dispatcher could be asked.
func (j *judgement) checkedBefore() bool {
	return j.webhook.Status.ObservedGeneration == j.webhook.Generation && isReady(j.webhook)
}

func (j *judgement) eventTypes() {
	if len(j.missing) == 0 {
		j.set(v1alpha1.ConditionEventTypesRegistered, metav1.ConditionTrue, v1alpha1.ReasonAllRegistered, "every event type is in the catalogue")
		return
	}
	j.set(v1alpha1.ConditionEventTypesRegistered, metav1.ConditionFalse, v1alpha1.ReasonNotRegistered,
		"not in the catalogue (kubectl get eventtypes): "+strings.Join(j.missing, ", "))
}

// backlogBounds say when the backlog of a webhook counts as full.
type backlogBounds struct {
	// unfinished is how many deliveries may be, fullFor how long after a delivery was
	// skipped the backlog still counts as full.
	unfinished int
	fullFor    time.Duration
}

func (j *judgement) backlog(bounds backlogBounds) {
	switch {
	case j.waiting.count >= int64(bounds.unfinished):
		j.set(v1alpha1.ConditionBacklogFull, metav1.ConditionTrue, v1alpha1.ReasonBacklogAtLimit,
			fmt.Sprintf("%d or more deliveries are unfinished; new events are not taken until the endpoint has caught up", bounds.unfinished))
	case j.now.Before(lastFull(j.webhookScope).Add(bounds.fullFor)):
		j.set(v1alpha1.ConditionBacklogFull, metav1.ConditionTrue, v1alpha1.ReasonDeliveriesSkipped,
			"events come faster than their deliveries can be stored while the endpoint fails; those that are skipped are counted in status.deliveriesSkipped")
	default:
		j.set(v1alpha1.ConditionBacklogFull, metav1.ConditionFalse, v1alpha1.ReasonBacklogBelowLimit, "new events are accepted")
	}
}

// lastFull is when a delivery was last skipped because of a full backlog, as far as is
// known: a former process may have heard of it.
func lastFull(s *webhookScope) time.Time {
	status := &s.webhook.Status
	if full := findCondition(status.Conditions, v1alpha1.ConditionBacklogFull); full != nil && full.Reason == v1alpha1.ReasonDeliveriesSkipped && status.LastSkippedTime != nil {
		return latest(s.news.lastFull, notAfter(status.LastSkippedTime.Time, s.now))
	}
	return s.news.lastFull
}

func (j *judgement) set(name string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&j.status.Conditions, metav1.Condition{
		Type: name, Status: status, Reason: reason, Message: cut(message, 1024),
		ObservedGeneration: j.webhook.Generation, LastTransitionTime: metav1.NewTime(j.now.Truncate(time.Second)), // as it is stored
	})
}

// enableWanted reports whether somebody asked to enable the webhook.
func enableWanted(webhook *v1alpha1.Webhook) bool {
	asked := cut(webhook.Annotations[v1alpha1.EnableRequestedAtAnnotation], 256)
	return asked != "" && asked != webhook.Status.LastHandledEnableAt
}

// rotateWanted reports whether somebody asked for a new secret.
func rotateWanted(webhook *v1alpha1.Webhook) bool {
	asked := cut(webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation], 256)
	return asked != "" && asked != webhook.Status.LastHandledRotateAt
}

// endpointChanged reports whether url or signing changed since the last pass.
func endpointChanged(webhook *v1alpha1.Webhook) bool {
	known := webhook.Status.EndpointRevision
	return known != "" && known != signingsecret.EndpointRevision(webhook)
}

func microTime(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	return new(metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond)))
}

func isWildcard(pattern string) bool { return pattern == "*" || strings.HasSuffix(pattern, ".*") }

// typeOf is the event type that an EventType stands for.
func typeOf(eventType *v1alpha1.EventType) string {
	if eventType.Spec.Type != "" {
		return eventType.Spec.Type
	}
	return eventType.Name
}
