// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
)

// apiTimeout bounds one small request to the API server: a request that is
// accepted while the server starts hangs until its own timeout.
const apiTimeout = 2 * time.Second

// maxUnrecorded bounds the count that a recorded delivery carries: more than a
// gateway counts between two recorded deliveries.
const maxUnrecorded = 1e9

// writeStatus makes the one status write of a pass and, once the API server has
// acknowledged it, accounts for it; done is false if the pass goes on with the object
// as written.
func (r *DeliveryReconciler) writeStatus(ctx context.Context, s *deliveryScope, status *v1alpha1.WebhookDeliveryStatus) (reconcile.Result, bool, error) {
	before := s.delivery
	r.pending.markUnconfirmed(before) // until the API server answers; the watch event can come first
	written, err := r.updateStatus(ctx, before, status)
	if err != nil {
		return r.handleWriteError(ctx, s, status, err)
	}
	r.pool.noteSuccess(before.Namespace)
	r.Runner.PlatformHealth(before.Namespace, attempt.WriteTaken)
	r.Metrics.statusWrite("written")
	r.acknowledgeWritten(s, &written.Status)
	r.pending.deferStatus(written.UID, nil)
	r.pending.confirm(written)
	if written.Status.State == v1alpha1.DeliverySucceeded {
		r.pending.drop(written.UID) // it leaves the cache; the runner keeps it as done
	} else {
		r.pending.keepWritten(written)
	}
	r.account(ctx, s, before, written)
	s.delivery, s.outcome = written, nil
	return reconcile.Result{}, false, nil
}

// acknowledgeWritten frees the unsettled slot of an attempt whose outcome is written.
func (r *DeliveryReconciler) acknowledgeWritten(s *deliveryScope, status *v1alpha1.WebhookDeliveryStatus) {
	switch {
	case s.outcome == nil:
		return
	case s.hasAttempt():
		r.Runner.Acknowledge(s.delivery.UID, attempt.Ack{Attempts: int(status.Attempts), Final: status.State == v1alpha1.DeliverySucceeded})
	default:
		r.Runner.Acknowledge(s.delivery.UID, attempt.Ack{Dropped: true})
	}
	s.phase = attempt.None
}

// updateStatus writes the status with an optimistic lock. The spec stays out of
// the body: the API server restores it, and the cache may not have it whole.
func (r *DeliveryReconciler) updateStatus(ctx context.Context, delivery *v1alpha1.WebhookDelivery, status *v1alpha1.WebhookDeliveryStatus) (*v1alpha1.WebhookDelivery, error) {
	out := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: delivery.Namespace, Name: delivery.Name,
			UID: delivery.UID, ResourceVersion: delivery.ResourceVersion,
		},
		Status: *status,
	}
	err := r.pool.writeTimeouts.Do(ctx, delivery.Namespace, func(ctx context.Context) error { return r.Client.Status().Update(ctx, out) })
	if err != nil {
		return nil, err
	}
	stripDelivery(out)
	return out, nil
}
