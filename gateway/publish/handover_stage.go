// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

// handOverMargin is how long after the timeout of an attempt that was handed over the controller repeats it: clocks
// differ, and the result takes a while.
const handOverMargin = 5 * time.Second

// handOverStage stores the deliveries whose first attempts failed or are overdue, and so hands them over to the
// controller.
type handOverStage struct {
	store     *storeStage
	record    *recordStage
	attempter *firstAttempter
	unstored  *unstoredAttempts
	panics    *panics.Guard
}

// run stores deliveries. Those whose objects were not begun when an error came are abandoned.
func (h *handOverStage) run(ctx context.Context, s *eventScope, targets []*target) error {
	err := h.store.createAll(ctx, s, targets, h.create)
	if err != nil {
		h.abandon(targets)
	}
	return err
}

// create creates the object of a delivery whose first attempt failed, or is overdue. For an overdue attempt the object
// says until when the controller leaves the delivery to this gateway.
func (h *handOverStage) create(ctx context.Context, s *eventScope, t *target) (*store.DeliveryEntry, error) {
	a := t.attempt
	object := a.draft.object()
	out := !a.hasEnded()
	switch {
	case out:
		until := h.attempter.now().Add(a.request.Timeout + handOverMargin)
		object.Spec.NotBefore = new(metav1.NewMicroTime(until.UTC().Truncate(time.Microsecond)))
	case a.err != nil: // lost: the controller repeats it
	case a.result.Succeeded() && !a.mustRecord(): // the attempt has succeeded meanwhile
		return h.record.recordLate(s, a), nil
	default:
		object.Spec.FirstAttempt = new(a.logEntry())
	}
	stored, err := h.store.objects.create(ctx, object, t.reservation) // not the attempt's reservation if the event is repeated
	if err != nil {
		h.abandonAttempt(a)
		return nil, err
	}
	h.unstored.remove(a)
	if out && stored.Spec.NotBefore.Equal(object.Spec.NotBefore) {
		h.attempter.unsettled.Go(func() {
			_ = h.panics.Do(panics.Delivery, func() { h.attempter.writeOutcome(h.store.objects, a, stored) }) // the controller takes over
		})
	}
	return h.store.accept(s, a.draft, stored)
}

// abandon lets go of the first attempts of a request that fails before their objects were begun.
func (h *handOverStage) abandon(targets []*target) {
	for _, t := range targets {
		if !t.storeBegun {
			h.abandonAttempt(t.attempt)
		}
	}
}

// abandonAttempt remembers a first attempt whose delivery has no object, and the delivery itself once the attempt
// succeeds: if the event is published again, the attempt is not repeated.
func (h *handOverStage) abandonAttempt(a *firstAttempt) {
	h.unstored.add(a)
	h.attempter.unsettled.Go(func() {
		<-a.done
		if a.hasSucceeded() && !a.mustRecord() {
			_ = h.panics.Do(panics.Delivery, func() { h.record.window.remember(a) })
			h.unstored.remove(a)
		}
	})
}
