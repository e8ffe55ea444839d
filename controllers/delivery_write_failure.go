// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/denial"
)

const (
	// unwritableRetry is the wait before the next write of a status that the API server
	// has refused for good.
	unwritableRetry = 30 * time.Second
	// refusedGrace is for how long a refusal counts as a failure of the namespace's
	// writes and not as the answer about one delivery: a starting API server forbids
	// everything until it has read the roles, and an admission policy can be mended.
	refusedGrace = 30 * time.Second
	// overtakenRetryMin is the wait before a status is computed anew after another client
	// wrote the object first. It doubles while that goes on.
	overtakenRetryMin = time.Millisecond
)

// isWriteRefusal reports whether the API server, or an admission policy, refused a write
// rather than failed to do it. A policy can answer with any code.
func isWriteRefusal(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return false
	}
	code := status.Status().Code
	return code >= http.StatusBadRequest && code < http.StatusInternalServerError && code != http.StatusTooManyRequests
}

// handleWriteError decides how a pass goes on after its status write failed.
func (r *DeliveryReconciler) handleWriteError(ctx context.Context, s *deliveryScope, status *v1alpha1.WebhookDeliveryStatus, err error) (reconcile.Result, bool, error) {
	before := s.delivery
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		result, settled, readErr := r.handleWriteConflict(ctx, before)
		if settled || readErr != nil {
			return result, true, readErr
		}
	}
	if isWriteRefusal(err) && r.pending.unconfirmedBefore(before) == before {
		r.pending.confirm(before) // it was not written, and no earlier write is unconfirmed
	}
	r.noteWriteError(before, err)
	failure := fmt.Errorf("write status of webhookdelivery %s/%s: %w", before.Namespace, before.Name, err)
	switch {
	case denial.IsTooLarge(err), s.deferred != nil && isWriteRefusal(err):
	case isWriteRefusal(err) && r.pending.refusedFor(before.UID, s.now) >= refusedGrace:
	default:
		return reconcile.Result{Priority: new(priorityOutcome)}, true, failure
	}
	ctrl.LoggerFrom(ctx).Error(err, "status of a delivery cannot be written; it is not sent again", "attempts", status.Attempts)
	r.acknowledgeWritten(s, status)
	r.pending.confirm(before)
	r.pending.deferStatus(before.UID, status)
	if s.hasAttempt() { // log line and metrics do not wait for a write that may never succeed
		unwritten := before.DeepCopy()
		unwritten.Status = *status
		r.accountAttempt(ctx, s, unwritten)
	}
	return reconcile.Result{RequeueAfter: unwritableRetry, Priority: new(priorityNormal)}, true, nil
}

// noteWriteError tells runner and worker pool about a failed write of a delivery: what it
// says about the writes of its namespace, and about the API server.
func (r *DeliveryReconciler) noteWriteError(delivery *v1alpha1.WebhookDelivery, err error) {
	result := "failed"
	switch {
	case denial.IsTooLarge(err) || isWriteRefusal(err) && r.pending.deferredStatus(delivery.UID) != nil:
		r.Metrics.statusWrite("refused")
		return // it is about this delivery alone
	case isWriteRefusal(err):
		result = "refused"
	}
	r.Metrics.statusWrite(result)
	write := attempt.WriteUnanswered
	if _, answered := errors.AsType[*apierrors.StatusError](err); answered {
		write = attempt.WriteRefused
	}
	if isWriteUnreachable(err) {
		write = attempt.WriteUnreachable
	}
	r.Runner.PlatformHealth(delivery.Namespace, write)
	if write == attempt.WriteUnreachable {
		return
	}
	r.pool.noteFailure(client.ObjectKeyFromObject(delivery))
}

// handleWriteConflict reads the object after a write that conflicted. If another client has written
// it, the next pass adds the kept outcome to the fresh object and sends nothing again.
// done is false if the object is unchanged: a policy refused the write, with the code
// of a conflict or of an object that is gone.
func (r *DeliveryReconciler) handleWriteConflict(ctx context.Context, delivery *v1alpha1.WebhookDelivery) (result reconcile.Result, done bool, err error) {
	fresh, err := r.readLive(ctx, client.ObjectKeyFromObject(delivery))
	switch {
	case err != nil:
		return reconcile.Result{}, false, fmt.Errorf("after a write that did not meet it: %w", err)
	case fresh == nil || fresh.UID != delivery.UID:
		r.Runner.Acknowledge(delivery.UID, attempt.Ack{Dropped: true})
		r.pending.drop(delivery.UID)
		return reconcile.Result{}, true, nil
	case fresh.ResourceVersion == delivery.ResourceVersion:
		return reconcile.Result{}, false, nil
	}
	r.Metrics.statusWrite("conflict")
	r.Runner.PlatformHealth(delivery.Namespace, attempt.WriteConflicted)
	r.pending.keepWritten(fresh)
	wait := min(overtakenRetryMin<<min(r.pending.countOvertaken(delivery.UID), 16), platformRetryMax)
	return reconcile.Result{RequeueAfter: wait, Priority: new(priorityOutcome)}, true, nil
}

// isWriteUnreachable reports whether a request got no answer because the API server could
// not be reached: that says nothing about one namespace.
func isWriteUnreachable(err error) bool {
	_, answered := errors.AsType[*apierrors.StatusError](err)
	return err != nil && !answered && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}
