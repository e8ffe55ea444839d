// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
)

// Observations gathers what deliveries say about their webhooks until the
// Webhook reconciler has written it. The delivery reconciler never writes the
// status of a Webhook. It is safe for concurrent use.
type Observations struct {
	disableAfter time.Duration
	now          func() time.Time

	mu    sync.Mutex
	wake  func(webhook types.NamespacedName, after time.Duration)
	hooks map[types.NamespacedName]*observed
}

// observed is what was seen of one webhook and is not in its status yet.
type observed struct {
	uid       types.UID
	facts     health.Facts
	succeeded int64
	failed    int64
	// unrecorded deliveries succeeded at the gateway and have no object.
	unrecorded int64
	// skipped deliveries were not made by a gateway, the last one at lastSkipped, and
	// because of a full backlog at lastFull.
	skipped               int64
	lastSkipped, lastFull time.Time
	// deletedEarly failed deliveries are gone before their time, the latest of them
	// for this bound.
	deletedEarly int64
	exceeded     bound
	confirmed    rotation // an attempt on which its new secret was primary got a 2xx
	holdUntil    time.Time
}

// rotation is one rotation of a webhook's secret; zero: none.
type rotation struct {
	current signature.Secret // the new one
	end     time.Time        // of the overlap; zero: open-ended
}

func rotationOf(secrets signingsecret.Secrets) rotation {
	return rotation{current: secrets.Current, end: secrets.OverlapEnd}
}

// NewObservations returns an empty set. disableAfter is how far apart the first
// and the latest failure may lie before a webhook is disabled; 0: never.
func NewObservations(disableAfter time.Duration, now func() time.Time) *Observations {
	return &Observations{disableAfter: disableAfter, now: now, wake: func(types.NamespacedName, time.Duration) {}, hooks: map[types.NamespacedName]*observed{}}
}

// onNews sets what is called when a webhook's status should be looked at, and
// after how long: at once if its state changes, else with other small changes.
func (o *Observations) onNews(wake func(webhook types.NamespacedName, after time.Duration)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wake = wake
}

func keyOf(object metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}

// of returns the entry of a webhook; one of a webhook that was made anew under
// the name starts afresh.
func (o *Observations) of(webhook *v1alpha1.Webhook) *observed {
	key := keyOf(webhook)
	entry, ok := o.hooks[key]
	if !ok || entry.uid != webhook.UID {
		entry = &observed{uid: webhook.UID}
		o.hooks[key] = entry
	}
	return entry
}

// seen is what waits to be written of a webhook. Looking makes no entry: the
// webhook may be gone.
func (o *Observations) seen(webhook *v1alpha1.Webhook) observed {
	if entry, ok := o.hooks[keyOf(webhook)]; ok && entry.uid == webhook.UID {
		return *entry
	}
	return observed{uid: webhook.UID}
}

// Finished notes that a delivery succeeded or failed for good. Counting says
// whether the counters have not counted it before.
func (o *Observations) Finished(webhook *v1alpha1.Webhook, outcome health.Outcome, at time.Time, counting bool) {
	o.mu.Lock()
	entry := o.of(webhook)
	before := o.stateLocked(webhook)
	entry.facts = health.Observe(entry.facts, outcome, at)
	after := statusInterval
	first := webhook.Status.LastSuccessTime == nil && webhook.Status.LastFailureTime == nil
	state := o.stateLocked(webhook)
	recovered := outcome == health.Succeeded && attemptsFail(&webhook.Status)
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
	wake := o.wake
	o.mu.Unlock()
	wake(keyOf(webhook), after)
}

// AttemptFailed notes that an attempt failed which began then, of a delivery that
// is not over. The status is looked at once it has been so for long enough.
func (o *Observations) AttemptFailed(webhook *v1alpha1.Webhook, began time.Time) {
	if healthState(webhook) != health.Active || attemptsFail(&webhook.Status) {
		return // it says so already
	}
	o.mu.Lock()
	wake, now := o.wake, o.now()
	o.mu.Unlock()
	wake(keyOf(webhook), max(0, began.Add(health.AttemptsFailingAfter).Sub(now)))
}

// Arrived notes that a delivery has come that is not finished. Where none ever
// is, as while a webhook is suspended, nothing else tells of its backlog.
func (o *Observations) Arrived(webhook types.NamespacedName) {
	o.mu.Lock()
	wake := o.wake
	o.mu.Unlock()
	wake(webhook, statusInterval)
}

// SecretMissed notes that an attempt found no secret that can sign. Secrets are
// not watched, so the status may still say that there is one.
func (o *Observations) SecretMissed(webhook *v1alpha1.Webhook) {
	o.mu.Lock()
	wake := o.wake
	o.mu.Unlock()
	wake(keyOf(webhook), 0)
}

// Counted adds a delivery that ended to the counters of its webhook and says
// nothing about the endpoint.
func (o *Observations) Counted(webhook *v1alpha1.Webhook, state v1alpha1.DeliveryState) {
	o.mu.Lock()
	entry := o.of(webhook)
	if state == v1alpha1.DeliverySucceeded {
		entry.succeeded++
	} else {
		entry.failed++
	}
	wake := o.wake
	o.mu.Unlock()
	wake(keyOf(webhook), statusInterval)
}

// Unrecorded adds deliveries that succeeded and have no object.
func (o *Observations) Unrecorded(webhook *v1alpha1.Webhook, n int64) {
	o.mu.Lock()
	o.of(webhook).unrecorded += n
	wake := o.wake
	o.mu.Unlock()
	wake(keyOf(webhook), statusInterval)
}

// DeletedEarly notes that retention deleted a failed delivery before its time.
func (o *Observations) DeletedEarly(webhook *v1alpha1.Webhook, exceeded bound) {
	o.mu.Lock()
	entry := o.of(webhook)
	entry.deletedEarly++
	entry.exceeded = exceeded
	wake := o.wake
	o.mu.Unlock()
	wake(keyOf(webhook), statusInterval)
}

// Skipped adds deliveries that a webhook did not get, the last one at a time.
func (o *Observations) Skipped(webhook *v1alpha1.Webhook, count skipped.Count) {
	o.mu.Lock()
	entry := o.of(webhook)
	entry.skipped += count.Full + count.Disabled
	entry.lastSkipped = latest(entry.lastSkipped, count.Last)
	after := statusInterval
	if webhook.Status.LastSkippedTime == nil {
		after = 0
	}
	if count.Full > 0 {
		entry.lastFull = latest(entry.lastFull, count.Last)
		if !meta.IsStatusConditionTrue(webhook.Status.Conditions, v1alpha1.ConditionBacklogFull) {
			after = 0
		}
	}
	wake := o.wake
	o.mu.Unlock()
	wake(keyOf(webhook), after)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Confirmed notes that the endpoint knows the new secret of a rotation.
func (o *Observations) Confirmed(webhook *v1alpha1.Webhook, which rotation) {
	o.mu.Lock()
	entry := o.of(webhook)
	news := !entry.confirmed.is(which)
	entry.confirmed = which
	wake := o.wake
	o.mu.Unlock()
	if news {
		wake(keyOf(webhook), 0)
	}
}

func (r rotation) is(other rotation) bool {
	return r.current == other.current && r.end.Equal(other.end)
}

// rotationOver notes that one secret signs: what is known of the last rotation
// says nothing of the next.
func (o *Observations) rotationOver(webhook *v1alpha1.Webhook) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of(webhook).confirmed = rotation{}
}

// IsConfirmed reports whether the new secret of this rotation is primary. What
// was seen counts before the status, which does not know the secret: it cannot
// tell two rotations without an end from each other.
func (o *Observations) IsConfirmed(webhook *v1alpha1.Webhook, which rotation) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if seen := o.seen(webhook).confirmed; !seen.current.IsZero() && seen.end.Equal(which.end) {
		return seen.is(which)
	}
	return signingsecret.Confirmed(webhook.Status.Signing, which.end)
}

// Held notes that the endpoint asked to be left alone until then.
func (o *Observations) Held(webhook *v1alpha1.Webhook, until time.Time) {
	o.mu.Lock()
	entry := o.of(webhook)
	if until.After(entry.holdUntil) {
		entry.holdUntil = until
	}
	wake := o.wake
	o.mu.Unlock()
	wake(keyOf(webhook), statusInterval)
}

// Facts are what is known of the webhook's health: its status and what was
// seen since.
func (o *Observations) Facts(webhook *v1alpha1.Webhook) health.Facts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.factsLocked(webhook)
}

func (o *Observations) factsLocked(webhook *v1alpha1.Webhook) health.Facts {
	return health.Merge(storedFacts(&webhook.Status), o.seen(webhook).facts)
}

// Disabled reports whether nothing may be sent, by the status or by what was
// seen since it was written.
func (o *Observations) Disabled(webhook *v1alpha1.Webhook) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stateLocked(webhook) == health.Disabled
}

// stateLocked is the webhook's state with what was seen since its status was
// written.
func (o *Observations) stateLocked(webhook *v1alpha1.Webhook) health.State {
	return health.Evaluate(healthState(webhook), o.factsLocked(webhook), o.disableAfter, o.now())
}

// news is a copy of what waits to be written, and is given back to settle.
func (o *Observations) news(webhook *v1alpha1.Webhook) observed {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen(webhook)
}

// settle takes out what has been written to the status.
func (o *Observations) settle(webhook *v1alpha1.Webhook, written observed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	entry := o.of(webhook)
	entry.succeeded -= written.succeeded
	entry.failed -= written.failed
	entry.unrecorded -= written.unrecorded
	entry.skipped -= written.skipped
	entry.deletedEarly -= written.deletedEarly
}

// enabled notes that the webhook was enabled again.
func (o *Observations) enabled(webhook *v1alpha1.Webhook, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	entry := o.of(webhook)
	entry.facts = health.Enable(entry.facts, at)
}

// released drops the hold that was seen of an endpoint that has changed since.
func (o *Observations) released(webhook *v1alpha1.Webhook, seen observed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if entry := o.of(webhook); !entry.holdUntil.After(seen.holdUntil) {
		entry.holdUntil = time.Time{}
	}
}

// Forget drops a webhook that is gone.
func (o *Observations) Forget(key types.NamespacedName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.hooks, key)
}

// storedFacts are the facts in a Webhook's status.
func storedFacts(status *v1alpha1.WebhookStatus) health.Facts {
	facts := health.Facts{
		LastSuccess:  timeOf(status.LastSuccessTime),
		FirstFailure: timeOf(status.FailingSinceTime),
		LastFailure:  timeOf(status.LastFailureTime),
		EnabledAt:    timeOf(status.EnabledTime),
	}
	condition := findCondition(status.Conditions, v1alpha1.ConditionEndpointHealthy)
	if status.State == v1alpha1.WebhookDisabled && condition != nil && condition.Reason == v1alpha1.ReasonEndpointGone {
		facts.GoneAt = facts.LastFailure
	}
	return facts
}

// healthState is the state of a webhook before what was seen since; that of one
// that was never looked at is Active.
func healthState(webhook *v1alpha1.Webhook) health.State {
	if webhook.Status.State == "" {
		return health.Active
	}
	return health.State(webhook.Status.State)
}

func timeOf(t *metav1.MicroTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}
