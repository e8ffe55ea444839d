// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
)

// apiTimeout bounds one small request to the API server: a request that is
// accepted while the server starts hangs until its own timeout.
const apiTimeout = 2 * time.Second

// maxUnrecorded is more than a gateway counts between two records.
const maxUnrecorded = 1e9

// write makes the one status write of a pass and, once the API server has
// acknowledged it, what follows from it. Done is false if the pass goes on with
// the object as written.
func (r *DeliveryReconciler) write(ctx context.Context, s *situation, status *v1alpha1.WebhookDeliveryStatus) (reconcile.Result, bool, error) {
	before := s.delivery
	r.memory.doubt(before) // until the API server answers; its event can come before
	written, err := r.updateStatus(ctx, before, status)
	if err != nil {
		return r.unwritten(ctx, s, status, err)
	}
	r.homes.succeeded(before.Namespace)
	r.Runner.WriteSucceeded(before.Namespace)
	r.Metrics.statusWrite("written")
	r.settleRunner(s, &written.Status)
	r.memory.owe(written.UID, nil)
	r.memory.believe(written)
	if written.Status.State == v1alpha1.DeliverySucceeded {
		r.memory.forget(written.UID) // it leaves the cache; the runner knows that it is done
	} else {
		r.memory.remember(written)
	}
	r.account(ctx, s, before, written)
	s.delivery, s.outcome = written, nil
	return reconcile.Result{}, false, nil
}

// settleRunner frees the unsettled place of an attempt that is now written.
func (r *DeliveryReconciler) settleRunner(s *situation, status *v1alpha1.WebhookDeliveryStatus) {
	switch {
	case s.outcome == nil:
		return
	case s.made():
		r.Runner.Written(s.delivery.UID, int(status.Attempts), status.State == v1alpha1.DeliverySucceeded)
	default:
		r.Runner.Dropped(s.delivery.UID)
	}
	s.phase = attempt.None
}

// isRecorded reports whether the status shows this very outcome, and not one of
// another process with the same number.
func isRecorded(s *situation) bool {
	log := s.delivery.Status.AttemptLog
	if len(log) == 0 {
		return false
	}
	made := record(*s.outcome)
	return log[len(log)-1].Number == made.Number && log[len(log)-1].StartTime.Equal(&made.StartTime)
}
