// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// attemptStage makes the first attempts of an event, and waits for them.
type attemptStage struct {
	attempter  *firstAttempter
	deliveries *store.DeliveryIndex
}

// await waits for first attempts to end, until attemptsUntil of the event. Those still under way then are overdue, and
// are handed over.
func (f *attemptStage) await(s *eventScope, attempted []*target) {
	timer := time.NewTimer(s.attemptsUntil.Sub(f.attempter.now()))
	defer timer.Stop()
	for i, t := range attempted {
		select {
		case <-t.attempt.done:
		case <-timer.C:
			for _, other := range attempted[i:] {
				if !other.attempt.hasEnded() {
					f.attempter.metrics.firstAttemptOverdue()
				}
			}
			return
		}
	}
}

// storeReserve is what first attempts leave of a request's time for storing deliveries.
const storeReserve = 10 * time.Second

// attemptWait is how long a request may wait for first attempts: at most as long as its publisher prefers, less for the
// late events of a large batch.
func attemptWait(ctx context.Context, prefers time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	switch {
	case ctx.Err() != nil:
		return 0
	case !ok:
		return prefers
	}
	return min(prefers, time.Until(deadline)-storeReserve)
}

// start starts the first attempts. It returns the targets that have one, and those that are stored first. An attempt
// that an earlier request for the same event made is not repeated.
func (f *attemptStage) start(ctx context.Context, s *eventScope, targets []*target) (attempted, durable []*target) {
	s.attemptsUntil = f.attempter.now().Add(attemptWait(ctx, s.Wait))
	var unattempted []*target
	for _, t := range targets {
		if t.attempt = s.priorAttempts[t.deliveryName]; t.attempt == nil {
			unattempted = append(unattempted, t)
		}
	}
	durable = f.startAttempts(ctx, s, unattempted)
	for _, t := range targets {
		if t.attempt != nil {
			attempted = append(attempted, t)
		}
	}
	return attempted, durable
}

// startAttempts returns the targets that get no first attempt.
func (f *attemptStage) startAttempts(ctx context.Context, s *eventScope, targets []*target) (durable []*target) {
	a := f.attempter
	reason := refusal("")
	switch {
	case a.wait <= 0:
		reason = refusedOff
	case s.Wait <= 0:
		reason = refusedAsync
	case attemptWait(ctx, s.Wait) <= 0:
		reason = refusedLate
	}
	if reason != "" {
		a.metrics.firstAttemptRefused(reason, len(targets))
		return targets
	}
	full, unread, durable := f.startEach(s, targets, a.acquireNow)
	if len(unread) > 0 { // those whose secrets are at hand are under way
		waiting, cancel := context.WithTimeout(ctx, s.Wait/2)
		a.secrets.AwaitReads(waiting, targetWebhookUIDs(unread))
		cancel()
		late, unread, left := f.startEach(s, unread, a.acquireNow)
		a.metrics.firstAttemptRefused(refusedSecret, len(unread))
		full, durable = append(full, late...), slices.Concat(durable, unread, left)
	}
	if len(full) > 0 {
		waiting, cancel := context.WithTimeout(ctx, min(a.maxSlotWait(), s.Wait))
		defer cancel()
		full, unread, left := f.startEach(s, full, a.acquireQueued(waiting))
		a.metrics.firstAttemptRefused(refusedFull, len(full))
		a.metrics.firstAttemptRefused(refusedSecret, len(unread))
		durable = slices.Concat(durable, full, unread, left)
	}
	return durable
}

// hasWaiting reports whether deliveries of a webhook that were accepted before wait. The limiter knows by then of the
// hold that an attempt of one that no longer waits has begun.
func (f *attemptStage) hasWaiting(webhook *v1alpha1.Webhook, before time.Time) bool {
	waits := f.deliveries.HasWaiting(webhook, before, f.attempter.now())
	f.deliveries.AwaitSubscribers()
	return waits
}

// startEach returns the targets without a free slot, those whose secret is being read, and those that get no first
// attempt for another reason.
func (f *attemptStage) startEach(s *eventScope, targets []*target, acquire acquireFunc) (full, unread, others []*target) {
	digest := sha256.Sum256(s.payload)
	for _, t := range targets {
		hasWaiting := func(before time.Time) bool { return f.hasWaiting(t.webhook, before) }
		attempt, reason := f.attempter.start(s.newDraft(t), digest, acquire, hasWaiting)
		switch {
		case attempt != nil:
			t.attempt = attempt
		case reason == refusedFull:
			full = append(full, t)
		case reason == refusedReading:
			unread = append(unread, t)
		default:
			f.attempter.metrics.firstAttemptRefused(reason, 1)
			others = append(others, t)
		}
	}
	return full, unread, others
}
