// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/settings"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// settlePause is the wait before an outcome is written again.
const settlePause = 200 * time.Millisecond

// FirstAttempts configure the first attempts of a gateway. The zero value makes none: every delivery is stored first.
type FirstAttempts struct {
	// Wait is how long a publisher without a preference waits for the answers of endpoints; 0: no first attempts.
	Wait time.Duration
	// Slots is how many first attempts may be under way, PerWebhook to one webhook, PerDestination to one host:port.
	// Webhooks that are not known to answer in time share half as many slots in addition.
	Slots, PerWebhook, PerDestination int
	// Dedup bounds the dedup window.
	Dedup DedupLimits
	// Records bound how many successes are recorded.
	Records RecordBudget
}

// DefaultFirstAttempts wait a second, with 512 slots.
func DefaultFirstAttempts() FirstAttempts {
	return FirstAttempts{
		Wait: time.Second, Slots: 512, PerWebhook: 64, PerDestination: 128,
		Dedup:   DedupLimits{Duration: 10 * time.Minute, Events: 1_000_000, Bytes: 128 << 20},
		Records: RecordBudget{Rate: 5, Burst: 50, Total: 20},
	}
}

// firstAttempter makes first attempts.
type firstAttempter struct {
	sender    sender
	secrets   *signingsecret.Reader
	limiter   *limiter
	wait      time.Duration // 0: no first attempts
	forbidden func() []netip.Prefix
	metrics   *Metrics
	panics    *panics.Guard
	logger    *slog.Logger
	now       func() time.Time

	unsettled sync.WaitGroup // handed over, and the outcome not acknowledged
}

// firstAttempt is the first attempt of one delivery.
type firstAttempt struct {
	attempter        *firstAttempter
	draft            *deliveryDraft
	slot             *endpoint.Slot
	request          dispatcher.Request
	primaryKey       v1alpha1.SigningKey
	endpointRevision string
	startTime        time.Time
	digest           [sha256.Size]byte // of the payload
	// done is closed once result and err are set.
	done   chan struct{}
	result dispatcher.Result
	err    error // the attempt was lost
}

// acquireFunc acquires a slot for an attempt; see limiter.acquire.
type acquireFunc func(webhook *v1alpha1.Webhook, hasWaiting func(acceptedBefore time.Time) bool) (*endpoint.Slot, refusal)

// start makes the first attempt of a delivery, in the background; nil and the reason if the gateway makes none.
func (f *firstAttempter) start(draft *deliveryDraft, digest [sha256.Size]byte, acquire acquireFunc, hasWaiting func(before time.Time) bool) (*firstAttempt, refusal) {
	webhook := draft.webhook
	if len(webhook.Spec.UnknownMembers) > 0 {
		return nil, refusedTooOld
	}
	if !f.canAttempt(webhook) {
		return nil, refusedNotActive
	}
	secrets, err := f.secrets.Recent(webhook)
	switch {
	case errors.Is(err, signingsecret.ErrReading):
		return nil, refusedReading
	case err != nil:
		return nil, refusedSecret
	}
	s, reason := acquire(webhook, hasWaiting)
	if s == nil {
		return nil, reason
	}
	now := f.now()
	keys, primary := signingsecret.KeysFor(secrets, signingsecret.ConfirmsKey(webhook.Status.Signing, secrets.OverlapEnd), nil, now)
	a := &firstAttempt{
		attempter: f, draft: draft, slot: s, primaryKey: primary, endpointRevision: s.Endpoint.Revision, startTime: now, digest: digest, done: make(chan struct{}),
		request: dispatcher.Request{
			DeliveryID: identity.DeliveryID(draft.name(), ""),
			EventID:    draft.eventID, EventType: draft.eventType, Attempt: 1,
			URL: webhook.Spec.URL, Payload: draft.payload, Keys: keys, Timeout: settings.Timeout(webhook),
			Forbidden: f.forbidden(),
			Trace: dispatcher.Trace{
				Parent: draft.traceParent, Wanted: webhook.Spec.SendTraceParent, Namespace: webhook.Namespace, Webhook: webhook.Name,
			},
		},
	}
	f.sender.Start(a.request, a.finish)
	return a, ""
}

// canAttempt reports whether the gateway may make first attempts for a webhook: the controller finds nothing wrong with
// it as it is now, except failures that this process knows to be over. All other deliveries are the controller's, so
// that it sees how the webhook does.
func (f *firstAttempter) canAttempt(webhook *v1alpha1.Webhook) bool {
	status, now := &webhook.Status, f.now()
	return !webhook.Spec.Suspend && status.ObservedGeneration == webhook.Generation &&
		(status.RetryAfterTime == nil || !status.RetryAfterTime.After(now)) && allowsFirstAttempt(status) &&
		(status.State == v1alpha1.WebhookActive || status.State == v1alpha1.WebhookFailing && f.limiter.isHealthy(webhook, now))
}

// allowsFirstAttempt reports whether a webhook works as configured. Where a rotation is refused, the present secret goes
// on signing.
func allowsFirstAttempt(status *v1alpha1.WebhookStatus) bool {
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && (ready.Status == metav1.ConditionTrue || ready.Reason == v1alpha1.ReasonRotationRefused)
}

// finish takes the result of the attempt. It must not wait: the sender's other attempts would wait for it.
func (a *firstAttempt) finish(result dispatcher.Result, err error) {
	defer close(a.done)
	if panicked := a.attempter.panics.Do(panics.Delivery, func() { a.account(result, err) }); panicked != nil {
		a.result, a.err = dispatcher.Result{}, panicked
	}
}

func (a *firstAttempt) account(result dispatcher.Result, err error) {
	a.result, a.err = result, err
	now := a.attempter.now()
	if err != nil {
		a.attempter.limiter.release(a.slot, now)
		a.attempter.metrics.firstAttemptEnded(firstAttemptLost)
		return
	}
	a.attempter.limiter.releaseWithResult(a.slot, &a.result, now.Sub(a.startTime), now)
	if result.Succeeded() {
		if settings.RecordPolicy(a.draft.webhook) != v1alpha1.RecordAlways {
			a.draft.reservation.release()
		}
		a.attempter.metrics.firstAttemptEnded(firstAttemptSucceeded)
		return
	}
	a.attempter.metrics.firstAttemptEnded(firstAttemptFailed)
	if signingsecret.DoubtsKey(a.logEntry().ResponseStatus) {
		a.attempter.secrets.Invalidate(a.draft.webhook.UID)
	}
	go func() { _ = a.attempter.panics.Do(panics.Delivery, a.logFailure) }()
}

// logFailure writes the line that debugging a failed attempt needs. Successes are counted only: the line of the request
// stands for them.
func (a *firstAttempt) logFailure() {
	a.attempter.logger.LogAttrs(context.Background(), slog.LevelInfo, "first attempt",
		slog.String("namespace", a.draft.webhook.Namespace), slog.String("webhook", a.draft.webhook.Name), slog.String("delivery", a.draft.name()),
		slog.String("event", a.draft.eventType), slog.String("eventID", a.draft.eventID),
		slog.Int("status", a.result.StatusCode), slog.Int64("durationMilliseconds", a.result.Duration.Milliseconds()),
		slog.String("reason", string(a.result.Reason)), slog.String("message", a.result.Message))
}

// hasEnded reports whether the attempt has a result, or was lost.
func (a *firstAttempt) hasEnded() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// hasSucceeded reports whether the endpoint has taken the delivery.
func (a *firstAttempt) hasSucceeded() bool {
	return a.hasEnded() && a.err == nil && a.result.Succeeded()
}

// mustRecord reports whether the delivery is stored before the answer to its publisher, even if the attempt succeeds.
func (a *firstAttempt) mustRecord() bool {
	return settings.RecordPolicy(a.draft.webhook) == v1alpha1.RecordAlways
}

// logEntry returns the attempt as objects hold it. It must have ended.
func (a *firstAttempt) logEntry() v1alpha1.Attempt {
	return attemptlog.NewEntry(1, &a.result, a.primaryKey, a.endpointRevision)
}

// indexEntry returns a delivery that succeeded as DeliveryIndex would hold it.
func (a *firstAttempt) indexEntry() *store.DeliveryEntry {
	d, entry := a.draft, a.logEntry()
	return &store.DeliveryEntry{
		Namespace: d.webhook.Namespace, Name: d.name(), ID: a.request.DeliveryID,
		Webhook: d.webhook.Name, Owner: d.webhook.UID, EventID: d.eventID, EventType: d.eventType,
		State: v1alpha1.DeliverySucceeded, Attempts: 1, ResponseStatus: entry.ResponseStatus,
		Created: d.accepted, Completed: new(metav1.NewMicroTime(attemptlog.EntryEnd(&entry))), Timestamp: d.timestamp, Bytes: int64(len(d.payload)), Digest: a.digest,
	}
}

// maxSlotWait is how long a publisher waits for a slot: a quarter of the wait for the answer of an endpoint.
func (f *firstAttempter) maxSlotWait() time.Duration { return f.wait / 4 }

// acquireNow takes a free slot, without waiting.
func (f *firstAttempter) acquireNow(webhook *v1alpha1.Webhook, hasWaiting func(before time.Time) bool) (*endpoint.Slot, refusal) {
	return f.limiter.acquire(webhook, f.now(), hasWaiting)
}

// acquireQueued waits for a slot until ctx ends, where one will be free soon: an attempt a moment later costs less than
// an object. Slots are scarce when a gateway has just started and knows no endpoint yet, and when an event is for more
// webhooks than there are slots.
func (f *firstAttempter) acquireQueued(ctx context.Context) acquireFunc {
	return func(webhook *v1alpha1.Webhook, hasWaiting func(before time.Time) bool) (*endpoint.Slot, refusal) {
		var woken *endpoint.Waiter
		for {
			s, reason := f.acquireNow(webhook, hasWaiting)
			if reason == refusedFull && ctx.Err() == nil {
				w := f.limiter.enqueue(webhook, f.now())
				if w != nil {
					if woken != nil { // it waits for something else now: the next waiter may have the slot
						f.limiter.dequeue(woken, f.now())
					}
					woken = f.awaitSlot(ctx, w)
					continue
				}
				s, reason = f.acquireNow(webhook, hasWaiting)
			}
			if s == nil && woken != nil { // the next waiter may have the slot
				f.limiter.dequeue(woken, f.now())
			}
			return s, reason
		}
	}
}

// awaitSlot waits for a slot until ctx ends; nil: the waiter was not woken.
func (f *firstAttempter) awaitSlot(ctx context.Context, w *endpoint.Waiter) *endpoint.Waiter {
	select {
	case <-w.Ready:
		return w
	case <-ctx.Done():
		f.limiter.dequeue(w, f.now())
		return nil
	}
}

// writeOutcome writes the outcome of an attempt that was handed over onto the object as it was created: if another
// writer was first, its state counts. The controller decides what follows.
func (f *firstAttempter) writeOutcome(objects *deliveryStore, a *firstAttempt, stored *v1alpha1.WebhookDelivery) {
	<-a.done
	if a.err != nil { // the controller takes over at notBefore
		f.metrics.handedOver(handOverTakenOver)
		return
	}
	entry := a.logEntry()
	out := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: stored.Namespace, Name: stored.Name, UID: stored.UID, ResourceVersion: stored.ResourceVersion,
		},
		Status: v1alpha1.WebhookDeliveryStatus{
			Attempts: 1, ResponseStatus: entry.ResponseStatus, ErrorMessage: entry.Message,
			LastAttemptTime: new(entry.StartTime), AttemptLog: []v1alpha1.Attempt{entry},
		},
	}
	for { // once at least: the create may have used all the time
		written := out.DeepCopy()
		err := objects.updateStatus(written)
		switch {
		case err == nil:
			objects.index.ApplyWrite(written)
			f.metrics.handedOver(handOverSettled)
			return
		case denial.IsConflict(err), denial.IsNotFound(err), denial.IsLasting(err), !f.now().Before(stored.Spec.NotBefore.Time):
			f.metrics.handedOver(handOverTakenOver)
			return
		}
		f.logger.Debug("write the result of a first attempt; trying again", slog.String("delivery", stored.Name), slog.String("cause", err.Error()))
		time.Sleep(settlePause)
	}
}
