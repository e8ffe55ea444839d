// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
)

// Observations collects facts about webhooks from their deliveries until the Webhook
// reconciler has written them. The delivery reconciler never writes the
// status of a Webhook. It is safe for concurrent use.
type Observations struct {
	disableAfter time.Duration
	now          func() time.Time

	mu       sync.Mutex
	notify   func(webhook types.NamespacedName, after time.Duration)
	webhooks map[types.NamespacedName]*observation
}

// observation is what deliveries showed about one webhook and its status does not yet.
type observation struct {
	uid       types.UID
	facts     health.Facts
	succeeded int64
	failed    int64
	// unrecorded deliveries succeeded at the gateway and have no object.
	unrecorded int64
	// skipped deliveries were not created by a gateway, the last one at lastSkipped, and
	// because of a full backlog at lastBacklogFull.
	skipped                      int64
	lastSkipped, lastBacklogFull time.Time
	// deletedEarly failed deliveries were deleted before their time, the latest of them
	// for the bound exceeded.
	deletedEarly int64
	exceeded     bound
	confirmed    rotationObservation // an attempt on which its new secret was primary got a 2xx
	retryAfter   time.Time
}

// rotationObservation is one rotation of a webhook's secret; zero: none.
type rotationObservation struct {
	current signature.Secret // the new one
	end     time.Time        // of the overlap; zero: open-ended
}

func rotationObservationOf(secrets signingsecret.Secrets) rotationObservation {
	return rotationObservation{current: secrets.Current, end: secrets.OverlapEnd}
}

// NewObservations returns an empty set. disableAfter is how far apart the first
// and the latest failure may lie before a webhook is disabled; 0: never.
func NewObservations(disableAfter time.Duration, now func() time.Time) *Observations {
	return &Observations{disableAfter: disableAfter, now: now, notify: func(types.NamespacedName, time.Duration) {}, webhooks: map[types.NamespacedName]*observation{}}
}

// onChange sets the function that enqueues a webhook, after the given time: at once if
// its state changes, else together with other small changes.
func (o *Observations) onChange(wake func(webhook types.NamespacedName, after time.Duration)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notify = wake
}

// entry returns the observation of a webhook and makes it if there is none; a webhook
// created anew under the name starts with an empty one.
func (o *Observations) entry(webhook *v1alpha1.Webhook) *observation {
	key := client.ObjectKeyFromObject(webhook)
	entry, ok := o.webhooks[key]
	if !ok || entry.uid != webhook.UID {
		entry = &observation{uid: webhook.UID}
		o.webhooks[key] = entry
	}
	return entry
}

// seenLocked returns the observation of a webhook without making one: the webhook may be
// gone.
func (o *Observations) seenLocked(webhook *v1alpha1.Webhook) observation {
	if entry, ok := o.webhooks[client.ObjectKeyFromObject(webhook)]; ok && entry.uid == webhook.UID {
		return *entry
	}
	return observation{uid: webhook.UID}
}

// DeliveryFinished notes that a delivery succeeded or failed for good; counting: the
// counters do not have it yet.
func (o *Observations) DeliveryFinished(webhook *v1alpha1.Webhook, outcome health.Outcome, at time.Time, counting bool) {
	o.mu.Lock()
	entry := o.entry(webhook)
	before := o.stateLocked(webhook)
	entry.facts = health.Observe(entry.facts, outcome, at)
	after := statusInterval
	first := webhook.Status.LastSuccessTime == nil && webhook.Status.LastFailureTime == nil
	state := o.stateLocked(webhook)
	recovered := outcome == health.Succeeded && showsAttemptsFailing(&webhook.Status)
	if first || recovered || state != before || state != healthState(webhook) {
		after = 0
	}
	switch {
	case !counting:
	case outcome == health.Succeeded:
		entry.succeeded++
	default:
		entry.failed++
	}
	wake := o.notify
	o.mu.Unlock()
	wake(client.ObjectKeyFromObject(webhook), after)
}

// AttemptFailed notes a failed attempt of an unfinished delivery. The webhook is
// enqueued for the time at which the failure may have lasted long enough to count.
func (o *Observations) AttemptFailed(webhook *v1alpha1.Webhook, began time.Time) {
	if healthState(webhook) != health.Active || showsAttemptsFailing(&webhook.Status) {
		return // it says so already
	}
	o.mu.Lock()
	wake, now := o.notify, o.now()
	o.mu.Unlock()
	wake(client.ObjectKeyFromObject(webhook), max(0, began.Add(health.AttemptsFailingAfter).Sub(now)))
}

// DeliveryArrived notes a new unfinished delivery. While none finishes, as while a
// webhook is suspended, no other observation updates its backlog.
func (o *Observations) DeliveryArrived(webhook types.NamespacedName) {
	o.mu.Lock()
	wake := o.notify
	o.mu.Unlock()
	wake(webhook, statusInterval)
}

// SecretMissed notes that an attempt found no secret that can sign. Secrets are not
// watched, so the status may still show one.
func (o *Observations) SecretMissed(webhook *v1alpha1.Webhook) {
	o.mu.Lock()
	wake := o.notify
	o.mu.Unlock()
	wake(client.ObjectKeyFromObject(webhook), 0)
}

// CountDelivery adds a finished delivery to the counters of its webhook and says nothing
// about the endpoint.
func (o *Observations) CountDelivery(webhook *v1alpha1.Webhook, state v1alpha1.DeliveryState) {
	o.mu.Lock()
	entry := o.entry(webhook)
	if state == v1alpha1.DeliverySucceeded {
		entry.succeeded++
	} else {
		entry.failed++
	}
	wake := o.notify
	o.mu.Unlock()
	wake(client.ObjectKeyFromObject(webhook), statusInterval)
}

// CountUnrecorded adds unrecorded deliveries: they succeeded and have no object.
func (o *Observations) CountUnrecorded(webhook *v1alpha1.Webhook, n int64) {
	o.mu.Lock()
	o.entry(webhook).unrecorded += n
	wake := o.notify
	o.mu.Unlock()
	wake(client.ObjectKeyFromObject(webhook), statusInterval)
}

// CountDeletedEarly adds a failed delivery that retention deleted before its time.
func (o *Observations) CountDeletedEarly(webhook *v1alpha1.Webhook, exceeded bound) {
	o.mu.Lock()
	entry := o.entry(webhook)
	entry.deletedEarly++
	entry.exceeded = exceeded
	wake := o.notify
	o.mu.Unlock()
	wake(client.ObjectKeyFromObject(webhook), statusInterval)
}

// CountSkipped adds deliveries that a webhook did not get, the last one at count.Last.
func (o *Observations) CountSkipped(webhook *v1alpha1.Webhook, count skipped.Count) {
	o.mu.Lock()
	entry := o.entry(webhook)
	entry.skipped += count.Full + count.Disabled
	entry.lastSkipped = latest(entry.lastSkipped, count.Last)
	after := statusInterval
	if webhook.Status.LastSkippedTime == nil {
		after = 0
	}
	if count.Full > 0 {
		entry.lastBacklogFull = latest(entry.lastBacklogFull, count.Last)
		if !meta.IsStatusConditionTrue(webhook.Status.Conditions, v1alpha1.ConditionBacklogFull) {
			after = 0
		}
	}
	wake := o.notify
	o.mu.Unlock()
	wake(client.ObjectKeyFromObject(webhook), after)
}

// ConfirmSecret notes that the endpoint knows the new secret of a rotation.
func (o *Observations) ConfirmSecret(webhook *v1alpha1.Webhook, confirmed rotationObservation) {
	o.mu.Lock()
	entry := o.entry(webhook)
	changed := !entry.confirmed.equals(confirmed)
	entry.confirmed = confirmed
	wake := o.notify
	o.mu.Unlock()
	if changed {
		wake(client.ObjectKeyFromObject(webhook), 0)
	}
}

func (r rotationObservation) equals(other rotationObservation) bool {
	return r.current == other.current && r.end.Equal(other.end)
}

// clearConfirmed drops the confirmation of a rotation that is over: it says nothing about
// the next.
func (o *Observations) clearConfirmed(webhook *v1alpha1.Webhook) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.entry(webhook).confirmed = rotationObservation{}
}

// IsConfirmed reports whether the new secret of a rotation is primary. Observations
// count before the status, which does not name the secret and so cannot tell two
// rotations without an end from each other.
func (o *Observations) IsConfirmed(webhook *v1alpha1.Webhook, candidate rotationObservation) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if seen := o.seenLocked(webhook).confirmed; !seen.current.IsZero() && seen.end.Equal(candidate.end) {
		return seen.equals(candidate)
	}
	return signingsecret.ConfirmsKey(webhook.Status.Signing, candidate.end)
}

// HoldRetryAfter notes that the endpoint asked for a pause by Retry-After.
func (o *Observations) HoldRetryAfter(webhook *v1alpha1.Webhook, until time.Time) {
	o.mu.Lock()
	entry := o.entry(webhook)
	if until.After(entry.retryAfter) {
		entry.retryAfter = until
	}
	wake := o.notify
	o.mu.Unlock()
	wake(client.ObjectKeyFromObject(webhook), statusInterval)
}

// Facts are the facts of the webhook's health: its status and the observations since.
func (o *Observations) Facts(webhook *v1alpha1.Webhook) health.Facts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.factsLocked(webhook)
}

func (o *Observations) factsLocked(webhook *v1alpha1.Webhook) health.Facts {
	return health.Merge(storedFacts(&webhook.Status), o.seenLocked(webhook).facts)
}

// Disabled reports whether the webhook is disabled, by its status or by observations
// since.
func (o *Observations) Disabled(webhook *v1alpha1.Webhook) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stateLocked(webhook) == health.Disabled
}

// stateLocked is the webhook's state with the observations since its status was
// written.
func (o *Observations) stateLocked(webhook *v1alpha1.Webhook) health.State {
	return health.Evaluate(healthState(webhook), o.factsLocked(webhook), o.disableAfter, o.now())
}

// snapshot copies the observation of a webhook; acknowledge takes it back once written.
func (o *Observations) snapshot(webhook *v1alpha1.Webhook) observation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seenLocked(webhook)
}

// acknowledge subtracts an observation that has been written to the status.
func (o *Observations) acknowledge(webhook *v1alpha1.Webhook, written observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	entry := o.entry(webhook)
	entry.succeeded -= written.succeeded
	entry.failed -= written.failed
	entry.unrecorded -= written.unrecorded
	entry.skipped -= written.skipped
	entry.deletedEarly -= written.deletedEarly
}

// markEnabled notes that the webhook was enabled again.
func (o *Observations) markEnabled(webhook *v1alpha1.Webhook, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	entry := o.entry(webhook)
	entry.facts = health.Enable(entry.facts, at)
}

// clearRetryAfter drops the Retry-After hold of a former endpoint.
func (o *Observations) clearRetryAfter(webhook *v1alpha1.Webhook, seen observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if entry := o.entry(webhook); !entry.retryAfter.After(seen.retryAfter) {
		entry.retryAfter = time.Time{}
	}
}

// Forget drops a webhook that is gone.
func (o *Observations) Forget(key types.NamespacedName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.webhooks, key)
}

// storedFacts are the facts in a Webhook's status.
func storedFacts(status *v1alpha1.WebhookStatus) health.Facts {
	facts := health.Facts{
		LastSuccess:  timeOf(status.LastSuccessTime),
		FirstFailure: timeOf(status.FailingSinceTime),
		LastFailure:  timeOf(status.LastFailureTime),
		EnabledAt:    timeOf(status.EnabledTime),
	}
	condition := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionEndpointHealthy)
	if status.State == v1alpha1.WebhookDisabled && condition != nil && condition.Reason == v1alpha1.ReasonEndpointGone {
		facts.GoneAt = facts.LastFailure
	}
	return facts
}

// healthState is the state in a webhook's status; Active if it has none yet.
func healthState(webhook *v1alpha1.Webhook) health.State {
	if webhook.Status.State == "" {
		return health.Active
	}
	return health.State(webhook.Status.State)
}
