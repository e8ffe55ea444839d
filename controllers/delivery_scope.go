// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// deliveryScope is all that a decision about one delivery depends on.
type deliveryScope struct {
	delivery       *v1alpha1.WebhookDelivery
	webhook        *v1alpha1.Webhook      // nil: not found
	disabled       bool                   // by the webhook's status or by observations since
	signingProblem *signingsecret.Problem // nil: none known
	phase          attempt.Phase
	outcome        *attempt.Outcome // not acknowledged yet; nil: none
	now            time.Time

	// deferred is a status that the API server refused to write; nil: none.
	deferred *v1alpha1.WebhookDeliveryStatus
}

// gather collects all that a decision depends on; nil: nothing to decide.
func (r *DeliveryReconciler) gather(ctx context.Context, key types.NamespacedName) (*deliveryScope, error) {
	delivery, webhook, err := r.lookup(ctx, key)
	if err != nil || delivery == nil {
		return nil, err
	}
	s := &deliveryScope{delivery: delivery, webhook: webhook, now: r.Now()}
	if webhook != nil {
		s.disabled = r.Observations.Disabled(webhook)
		s.signingProblem = r.Secrets.Problem(webhook)
	}
	state := r.Runner.State(delivery.UID)
	s.phase = state.Phase
	if state.Phase == attempt.Finished {
		s.outcome = &state.Outcome
		return s, nil
	}
	if isBeingDeleted(delivery) {
		r.Runner.Cancel(delivery.UID)
		return nil, nil // the outcome of an attempt under way is written first
	}
	if s.deferred = r.pending.deferredStatus(delivery.UID); s.deferred != nil {
		return s, nil
	}
	if int(delivery.Status.Attempts) < state.Attempts {
		return nil, nil // the cache is behind what was written; its event will come
	}
	return s, nil
}

// hasAttempt reports whether the pass has the outcome of an attempt to write.
func (s *deliveryScope) hasAttempt() bool { return s.outcome != nil && s.outcome.Err == nil }

// attemptNote is the note that preparing the attempt left with its outcome.
func (s *deliveryScope) attemptNote() (attemptNote, bool) {
	if !s.hasAttempt() {
		return attemptNote{}, false
	}
	note, ok := s.outcome.Note.(attemptNote)
	return note, ok
}

// isSameEndpoint reports whether the outcome of the latest attempt is about the
// webhook's present endpoint, and not about a url that it had when the attempt started.
func (s *deliveryScope) isSameEndpoint(written *v1alpha1.WebhookDelivery) bool {
	if note, ok := s.attemptNote(); ok && note.webhook.UID != s.webhook.UID {
		return false
	}
	return isAboutCurrentEndpoint(written, s.webhook)
}
