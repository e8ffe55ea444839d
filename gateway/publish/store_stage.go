// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

// storeWidth is how many deliveries of one event are created at once.
const storeWidth = 8

// storeStage creates the objects of deliveries.
type storeStage struct {
	objects   *deliveryStore
	throttles *storeThrottles
	panics    *panics.Guard
}

// createFunc creates the object of one delivery, or finds the one that another request created.
type createFunc func(ctx context.Context, s *eventScope, t *target) (*store.DeliveryEntry, error)

// run creates the objects of deliveries without a first attempt.
func (f *storeStage) run(ctx context.Context, s *eventScope, targets []*target) error {
	for s.needsArbiter() && len(targets) > 1 {
		r, err := f.createThrottled(ctx, s, targets[0], f.create)
		if err != nil {
			return err
		}
		if r != nil {
			s.setTimestamp(r.Timestamp)
		}
		targets = targets[1:]
	}
	return f.createAll(ctx, s, targets, f.create)
}

// runInBackground is run while first attempts are under way; the function that it returns waits for its end.
func (f *storeStage) runInBackground(ctx context.Context, s *eventScope, targets []*target) (await func() error) {
	var err error
	var storing sync.WaitGroup
	if len(targets) > 0 {
		storing.Go(func() {
			if panicked := f.panics.Do(panics.Delivery, func() { err = f.run(ctx, s, targets) }); panicked != nil {
				err = panicked
			}
		})
	}
	return func() error {
		storing.Wait()
		return err
	}
}

// createAll creates objects, several at once, and begins no more after an error. It returns a permanent error if there
// was one.
func (f *storeStage) createAll(ctx context.Context, s *eventScope, targets []*target, create createFunc) error {
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		mu     sync.Mutex
		failed error
	)
	for range min(len(targets), storeWidth) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(targets); i = int(next.Add(1)) - 1 {
				var err error
				if panicked := f.panics.Do(panics.Delivery, func() { _, err = f.createThrottled(ctx, s, targets[i], create) }); panicked != nil {
					err = panicked
				}
				if err != nil {
					next.Store(int64(len(targets)))
					mu.Lock()
					if failed == nil || isPermanentFailure(err) {
						failed = err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return failed
}

// createThrottled creates one object once the throttle of its endpoint lets it; nil and no error: its webhook was
// skipped.
func (f *storeStage) createThrottled(ctx context.Context, s *eventScope, t *target, create createFunc) (r *store.DeliveryEntry, err error) {
	defer t.release()
	if throttle := f.throttles.find(t.webhook); throttle != nil {
		release, err := throttle.acquire(ctx, newWebhookKey(t.webhook), t.attempt != nil)
		switch {
		case errors.Is(err, errStoreQueueFull) && t.webhook.Spec.Overflow == v1alpha1.OverflowRefuse:
			return nil, storeQueueFull(t.webhook)
		case errors.Is(err, errStoreQueueFull):
			s.skipWebhook(t.candidate, rest.SkippedBacklogFull)
			return nil, nil
		case err != nil:
			return nil, &UnavailableError{StoringDeliveries, err}
		}
		defer func() { release(r != nil) }()
	}
	t.storeBegun = true
	return create(ctx, s, t)
}

// create creates the object of a delivery without a first attempt.
func (f *storeStage) create(ctx context.Context, s *eventScope, t *target) (*store.DeliveryEntry, error) {
	draft := s.newDraft(t)
	stored, err := f.objects.create(ctx, draft.object(), draft.reservation)
	if err != nil {
		return nil, err
	}
	return f.accept(s, draft, stored)
}

// accept adds what the API server holds of a delivery to the answer, if it is of this event.
func (f *storeStage) accept(s *eventScope, draft *deliveryDraft, stored *v1alpha1.WebhookDelivery) (*store.DeliveryEntry, error) {
	r := f.objects.addToIndex(stored)
	if !draft.matchesEvent(stored) || !s.isSameEvent(r) {
		return nil, &EventIDTakenError{s.eventID}
	}
	s.addDelivery(r)
	return r, nil
}
