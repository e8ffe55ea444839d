// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/signer"
)

// defaultTimeout bounds an attempt where the Webhook does not say.
const defaultTimeout = 10 * time.Second

// FirstAttempts say how the gateway makes first attempts itself. The zero value
// makes none: every delivery is stored first.
type FirstAttempts struct {
	// Wait is how long a publisher that says nothing else waits for the answers
	// of endpoints; 0: none are made.
	Wait time.Duration
	// Slots is how many may be out, PerWebhook to one webhook, PerDestination to
	// one host:port. Webhooks that are not known to answer in time share half as
	// many slots beside these.
	Slots, PerWebhook, PerDestination int
	// Window bounds what is remembered of deliveries without an object.
	Window Window
	// Records bound how many successes get an object.
	Records Records
}

// DefaultFirstAttempts wait a second, for 512 attempts at a time.
func DefaultFirstAttempts() FirstAttempts {
	return FirstAttempts{
		Wait: time.Second, Slots: 512, PerWebhook: 64, PerDestination: 128,
		Window:  Window{For: 10 * time.Minute, Most: 1_000_000, Bytes: 128 << 20},
		Records: Records{Rate: 5, Burst: 50, Total: 20},
	}
}

// attempter makes first attempts.
type attempter struct {
	sender    Dispatcher
	signer    *signer.Signer
	slots     *slots
	wait      time.Duration // 0: none are made
	forbidden func() []netip.Prefix
	metrics   *Metrics
	panics    *panics.Guard
	logger    *slog.Logger
	now       func() time.Time

	late sync.WaitGroup // what was handed over and is not settled
}

// firstAttempt is one first attempt.
type firstAttempt struct {
	firsts   *attempter
	draft    *deliveryDraft
	slot     *slot
	request  dispatcher.Request
	primary  v1alpha1.SigningKey
	revision string // of the endpoint
	began    time.Time
	digest   [sha256.Size]byte // of the payload
	// ended is closed once result and err are there.
	ended  chan struct{}
	result dispatcher.Result
	err    error // nothing is known of the attempt
}

// taking finds a slot for an attempt; see slots.take.
type taking func(webhook *v1alpha1.Webhook, pending func(before time.Time) bool) (*slot, refusal)

// begin makes the first attempt of a delivery, in the background, if it may be
// made here; nil and why, if not.
func (f *attempter) begin(draft *deliveryDraft, digest [sha256.Size]byte, take taking, pending func(before time.Time) bool) (*firstAttempt, refusal) {
	webhook := draft.webhook
	if len(webhook.Spec.UnknownMembers) > 0 {
		return nil, refusedTooOld
	}
	if !f.isWell(webhook) {
		return nil, refusedNotActive
	}
	secrets, err := f.signer.Recent(webhook)
	switch {
	case errors.Is(err, signer.ErrReading):
		return nil, refusedReading
	case err != nil:
		return nil, refusedSecret
	}
	at, why := take(webhook, pending)
	if at == nil {
		return nil, why
	}
	now := f.now()
	keys, primary := signer.KeysFor(secrets, signer.Confirmed(webhook.Status.Signing, secrets.OverlapEnd), nil, now)
	made := &firstAttempt{
		firsts: f, draft: draft, slot: at, primary: primary, revision: at.hook.revision, began: now, digest: digest, ended: make(chan struct{}),
		request: dispatcher.Request{
			DeliveryID: identity.DeliveryID(draft.name(), ""),
			EventID:    draft.eventID, EventType: draft.eventType, Attempt: 1,
			URL: webhook.Spec.URL, Payload: draft.payload, Keys: keys, Timeout: timeoutOf(webhook),
			Forbidden: f.forbidden(),
			Trace: dispatcher.Trace{
				Parent: draft.traceParent, Wanted: webhook.Spec.SendTraceParent, Namespace: webhook.Namespace, Webhook: webhook.Name,
			},
		},
	}
	f.sender.Start(made.request, made.end)
	return made, ""
}

// isWell reports whether the controller finds nothing wrong with a webhook, as it
// is now, but for failures that this process knows to be over. All others are the
// controller's, so that it sees how they do.
func (f *attempter) isWell(webhook *v1alpha1.Webhook) bool {
	status, now := &webhook.Status, f.now()
	return !webhook.Spec.Suspend && status.ObservedGeneration == webhook.Generation &&
		(status.RetryAfterTime == nil || !status.RetryAfterTime.After(now)) && isReady(status) &&
		(status.State == v1alpha1.WebhookActive || status.State == v1alpha1.WebhookFailing && f.slots.isWell(webhook, now))
}

// isReady reports whether a webhook works as it is configured. Where a rotation is
// refused the present secret signs on.
func isReady(status *v1alpha1.WebhookStatus) bool {
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && (ready.Status == metav1.ConditionTrue || ready.Reason == v1alpha1.ReasonRotationRefused)
}

func timeoutOf(webhook *v1alpha1.Webhook) time.Duration {
	if policy := webhook.Spec.RetryPolicy; policy != nil && policy.Timeout != nil {
		return policy.Timeout.Duration
	}
	return defaultTimeout
}

// end takes what became of the attempt. It waits for nothing: the sender's other
// attempts wait for it.
func (f *firstAttempt) end(result dispatcher.Result, err error) {
	defer close(f.ended)
	if panicked := f.firsts.panics.Do(panics.Delivery, func() { f.note(result, err) }); panicked != nil {
		f.result, f.err = dispatcher.Result{}, panicked
	}
}

func (f *firstAttempt) note(result dispatcher.Result, err error) {
	f.result, f.err = result, err
	now := f.firsts.now()
	if err != nil {
		f.firsts.slots.free(f.slot, now)
		f.firsts.metrics.firstEnded(firstLost)
		return
	}
	f.firsts.slots.done(f.slot, &f.result, now.Sub(f.began), now)
	if result.Succeeded() {
		if recordPolicy(f.draft.webhook) != v1alpha1.RecordAlways {
			f.draft.reserved.release()
		}
		f.firsts.metrics.firstEnded(firstSucceeded)
		return
	}
	f.firsts.metrics.firstEnded(firstFailed)
	if signer.DoubtsSignature(f.made().ResponseStatus) {
		f.firsts.signer.Doubt(f.draft.webhook.UID)
	}
	go func() { _ = f.firsts.panics.Do(panics.Delivery, f.log) }()
}

// log writes the line that debugging a failed attempt needs. Successes are
// counted only: the line of the request stands for them.
func (f *firstAttempt) log() {
	f.firsts.logger.LogAttrs(context.Background(), slog.LevelInfo, "first attempt",
		slog.String("namespace", f.draft.webhook.Namespace), slog.String("webhook", f.draft.webhook.Name), slog.String("delivery", f.draft.name()),
		slog.String("event", f.draft.eventType), slog.String("eventID", f.draft.eventID),
		slog.Int("status", f.result.StatusCode), slog.Int64("durationMilliseconds", f.result.Duration.Milliseconds()),
		slog.String("reason", string(f.result.Reason)), slog.String("message", f.result.Message))
}

// hasEnded reports whether the answer is there, or will never be.
func (f *firstAttempt) hasEnded() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// delivered reports whether the endpoint has taken the delivery.
func (f *firstAttempt) delivered() bool { return f.hasEnded() && f.err == nil && f.result.Succeeded() }

// mustStore reports whether the delivery is stored before its publisher has an
// answer, though the endpoint has taken it.
func (f *firstAttempt) mustStore() bool {
	return recordPolicy(f.draft.webhook) == v1alpha1.RecordAlways
}

// made is the attempt, once it has ended, as objects hold it.
func (f *firstAttempt) made() v1alpha1.Attempt {
	return attemptlog.Entry(1, &f.result, f.primary, f.revision)
}

// await waits for first attempts to end, for this long in all. Those that have not
// are handed over.
func await(flights []*firstAttempt, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for i, f := range flights {
		select {
		case <-f.ended:
		case <-timer.C:
			for _, other := range flights[i:] {
				if !other.hasEnded() {
					other.firsts.metrics.firstOverdue()
				}
			}
			return
		}
	}
}

// storeReserve is what first attempts leave of a request's time, for storing what
// they do not deliver.
const storeReserve = 10 * time.Second

// timeFor is how long a request may wait for first attempts, at most as long as its
// publisher prefers: one of many events in a request may have its turn late.
func timeFor(ctx context.Context, prefers time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	switch {
	case ctx.Err() != nil:
		return 0
	case !ok:
		return prefers
	}
	return min(prefers, time.Until(deadline)-storeReserve)
}

// attempt begins the first attempts that may be made here; the other deliveries
// are durable first. What was attempted before is not attempted again.
func (p *pipeline) attempt(ctx context.Context, tasks []*task) (flights []*firstAttempt, durable []*task) {
	var fresh []*task
	for _, t := range tasks {
		if t.flight = p.attempted[t.name]; t.flight == nil {
			fresh = append(fresh, t)
		}
	}
	durable = p.begin(ctx, fresh)
	for _, t := range tasks {
		if t.flight != nil {
			flights = append(flights, t.flight)
		}
	}
	return flights, durable
}

// begin returns the tasks that get no first attempt.
func (p *pipeline) begin(ctx context.Context, tasks []*task) (durable []*task) {
	f := p.g.attempter
	why := refusal("")
	switch {
	case f.wait <= 0:
		why = refusedOff
	case p.prefer.wait <= 0:
		why = refusedAsync
	case timeFor(ctx, p.prefer.wait) <= 0:
		why = refusedLate
	}
	if why != "" {
		f.metrics.firstRefused(why, len(tasks))
		return tasks
	}
	full, unread, durable := p.beginEach(tasks, f.takeNow)
	if len(unread) > 0 { // those whose secrets are at hand are under way
		waiting, cancel := context.WithTimeout(ctx, p.prefer.wait/2)
		f.signer.Await(waiting, uidsOf(unread))
		cancel()
		late, unread, left := p.beginEach(unread, f.takeNow)
		f.metrics.firstRefused(refusedSecret, len(unread))
		full, durable = append(full, late...), slices.Concat(durable, unread, left)
	}
	if len(full) > 0 {
		waiting, cancel := context.WithTimeout(ctx, min(f.patience(), p.prefer.wait))
		defer cancel()
		full, unread, left := p.beginEach(full, f.takeInTurn(waiting))
		f.metrics.firstRefused(refusedFull, len(full))
		f.metrics.firstRefused(refusedSecret, len(unread))
		durable = slices.Concat(durable, full, unread, left)
	}
	return durable
}

func uidsOf(tasks []*task) (uids []types.UID) {
	for _, t := range tasks {
		uids = append(uids, t.webhook.UID)
	}
	return uids
}

// beginEach returns those for which there was no free slot, those whose secret is
// being read, and those that get no first attempt for another reason.
func (p *pipeline) beginEach(tasks []*task, take taking) (full, unread, others []*task) {
	f := p.g.attempter
	digest := sha256.Sum256(p.payload)
	for _, t := range tasks {
		pending := func(before time.Time) bool {
			return p.g.deliveries.hasWaiting(keyOf(t.webhook), before, f.now())
		}
		made, why := f.begin(p.draft(t), digest, take, pending)
		switch {
		case made != nil:
			t.flight = made
		case why == refusedFull:
			full = append(full, t)
		case why == refusedReading:
			unread = append(unread, t)
		default:
			f.metrics.firstRefused(why, 1)
			others = append(others, t)
		}
	}
	return full, unread, others
}

// land notes which first attempts delivered, and returns the tasks of the others and
// of those that must be stored all the same.
func (p *pipeline) land(tasks []*task) []*task {
	var delivered []*firstAttempt
	var others []*task
	for _, t := range tasks {
		switch {
		case t.flight == nil:
		case t.flight.delivered() && !t.flight.mustStore():
			delivered = append(delivered, t.flight)
		default:
			others = append(others, t)
		}
	}
	p.g.dedup.remember(delivered...) // before any of them waits for its record
	for _, f := range delivered {
		p.note(f.recorded())
		p.g.recorder.offer(f)
	}
	return others
}

// delivered notes a delivery that needs no object after all.
func (p *pipeline) delivered(f *firstAttempt) *deliveryEntry {
	r := f.recorded()
	p.note(r)
	p.g.dedup.remember(f)
	p.g.recorder.offer(f)
	return r
}

// recorded is what the ledger would hold of a delivery that was delivered.
func (f *firstAttempt) recorded() *deliveryEntry {
	d, made := f.draft, f.made()
	return &deliveryEntry{
		namespace: d.webhook.Namespace, name: d.name(), id: f.request.DeliveryID,
		webhook: d.webhook.Name, owner: d.webhook.UID, eventID: d.eventID, eventType: d.eventType,
		state: v1alpha1.DeliverySucceeded, attempts: 1, responseStatus: made.ResponseStatus,
		created: d.accepted, completed: new(metav1.NewMicroTime(attemptlog.Ended(&made))), timestamp: d.stamp, bytes: int64(len(d.payload)), digest: f.digest,
	}
}
