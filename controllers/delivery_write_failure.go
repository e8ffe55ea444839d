// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
)

const (
	// unwritableRetry is the wait before a status is written again that the API
	// server has refused for good.
	unwritableRetry = 30 * time.Second
	// refusedGrace is for how long a refusal is a failure of the namespace's writes
	// and not the answer about one delivery: an API server that starts forbids
	// everything until it has read the roles, and a policy can be mended.
	refusedGrace = 30 * time.Second
	// overtakenMin is the wait before a status is folded into an object that somebody
	// else has written meanwhile. It doubles while that goes on.
	overtakenMin = time.Millisecond
)

// isRefusal reports whether the API server, or a policy in it, has said no to a
// write, rather than failed to do it. Any code can be a policy's.
func isRefusal(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return false
	}
	code := status.Status().Code
	return code >= http.StatusBadRequest && code < http.StatusInternalServerError && code != http.StatusTooManyRequests
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
	err := r.homes.limits.Do(ctx, delivery.Namespace, func(ctx context.Context) error { return r.Client.Status().Update(ctx, out) })
	if err != nil {
		return nil, err
	}
	strip(out)
	return out, nil
}

// unwritten goes on after a status write that failed.
func (r *DeliveryReconciler) unwritten(ctx context.Context, s *situation, status *v1alpha1.WebhookDeliveryStatus, err error) (reconcile.Result, bool, error) {
	before := s.delivery
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		result, settled, readErr := r.readAgain(ctx, before)
		if settled || readErr != nil {
			return result, true, readErr
		}
	}
	if isRefusal(err) && r.memory.doubtful(before) == before {
		r.memory.believe(before) // it was not written, and no write before is in doubt
	}
	r.fail(before, err)
	failure := fmt.Errorf("write status of webhookdelivery %s/%s: %w", before.Namespace, before.Name, err)
	switch {
	case denial.IsTooLarge(err), s.owed != nil && isRefusal(err):
	case isRefusal(err) && r.memory.refusedFor(before.UID, s.now) >= refusedGrace:
	default:
		return reconcile.Result{Priority: new(priorityOutcome)}, true, failure
	}
	ctrl.LoggerFrom(ctx).Error(err, "status of a delivery cannot be written; it is not sent again", "attempts", status.Attempts)
	r.settleRunner(s, status)
	r.memory.believe(before)
	r.memory.owe(before.UID, status)
	if s.made() { // its line and figures do not wait for a write that may never succeed
		unwritten := before.DeepCopy()
		unwritten.Status = *status
		r.accountAttempt(ctx, s, unwritten)
	}
	return reconcile.Result{RequeueAfter: unwritableRetry, Priority: new(priorityNormal)}, true, nil
}

// fail takes in that a write of a delivery was not taken: what that says about
// the writes of its namespace, and about the API server.
func (r *DeliveryReconciler) fail(delivery *v1alpha1.WebhookDelivery, err error) {
	result := "failed"
	switch {
	case denial.IsTooLarge(err) || isRefusal(err) && r.memory.owing(delivery.UID) != nil:
		r.Metrics.statusWrite("refused")
		return // it is about this delivery alone
	case isRefusal(err):
		result = "refused"
	}
	r.Metrics.statusWrite(result)
	if isUnreachable(err) {
		r.Runner.Unreachable()
		return
	}
	if _, answered := errors.AsType[*apierrors.StatusError](err); answered {
		r.Runner.Reached()
	}
	r.Runner.WriteFailed(delivery.Namespace)
	r.homes.failed(keyOf(delivery))
}

// readAgain takes the object as it is now after a write that did not meet it. If
// somebody else has written it the outcome is kept and folded into the fresh object,
// never sent again. settled is false if it is as it was: a policy refused the write,
// with the code of a conflict or of an object that is gone.
func (r *DeliveryReconciler) readAgain(ctx context.Context, delivery *v1alpha1.WebhookDelivery) (result reconcile.Result, settled bool, err error) {
	fresh, err := r.live(ctx, keyOf(delivery))
	switch {
	case err != nil:
		return reconcile.Result{}, false, fmt.Errorf("after a write that did not meet it: %w", err)
	case fresh == nil || fresh.UID != delivery.UID:
		r.Runner.Dropped(delivery.UID)
		r.memory.forget(delivery.UID)
		return reconcile.Result{}, true, nil
	case fresh.ResourceVersion == delivery.ResourceVersion:
		return reconcile.Result{}, false, nil
	}
	r.Metrics.statusWrite("conflict")
	r.Runner.Reached()
	r.memory.remember(fresh)
	wait := min(overtakenMin<<min(r.memory.overtaken(delivery.UID), 16), platformRetryMax)
	return reconcile.Result{RequeueAfter: wait, Priority: new(priorityOutcome)}, true, nil
}
