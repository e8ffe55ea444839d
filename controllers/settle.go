// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/health"
)

// unwritableRetry is the wait before a status is written again that the API
// server refused for good.
const unwritableRetry = 30 * time.Second

// forbiddenGrace is for how long "forbidden" is a failure of the platform and
// not its answer: an API server that starts refuses everything until it has
// read the roles.
const forbiddenGrace = 30 * time.Second

// write makes the one status write of a pass and, once the API server has
// acknowledged it, what follows from it. Done is false if the pass goes on with
// the object as written.
func (r *DeliveryReconciler) write(ctx context.Context, s *situation, status *v1alpha1.WebhookDeliveryStatus) (reconcile.Result, bool, error) {
	before := s.delivery
	written, err := r.updateStatus(ctx, before, status)
	switch {
	case err == nil:
	case apierrors.IsNotFound(err):
		r.Runner.Dropped(before.UID)
		r.memory.forget(before.UID)
		return reconcile.Result{}, true, nil
	case apierrors.IsConflict(err):
		return r.readAgain(ctx, before)
	case apierrors.IsForbidden(err) && s.owed == nil && r.memory.refusedFor(before.UID, s.now) < forbiddenGrace:
		r.Metrics.statusWrite("failed")
		return reconcile.Result{Priority: new(priorityOutcome)}, true, fmt.Errorf("write status of webhookdelivery %s/%s: %w", before.Namespace, before.Name, err)
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		ctrl.LoggerFrom(ctx).Error(err, "status of a delivery cannot be written; it is not sent again", "attempts", status.Attempts)
		r.settleRunner(s, status)
		r.Metrics.statusWrite("refused")
		r.memory.owe(before.UID, status)
		return reconcile.Result{RequeueAfter: unwritableRetry, Priority: new(priorityNormal)}, true, nil
	default:
		r.Runner.WriteFailed()
		r.Metrics.statusWrite("failed")
		return reconcile.Result{Priority: new(priorityOutcome)}, true, fmt.Errorf("write status of webhookdelivery %s/%s: %w", before.Namespace, before.Name, err)
	}
	r.Runner.WriteSucceeded()
	r.Metrics.statusWrite("written")
	r.settleRunner(s, &written.Status)
	r.memory.owe(written.UID, nil)
	if written.Status.State == v1alpha1.DeliverySucceeded {
		r.memory.forget(written.UID) // it leaves the cache; the runner knows that it is done
	} else {
		r.memory.remember(written)
	}
	r.account(ctx, s, written)
	s.delivery = written
	return reconcile.Result{}, false, nil
}

// updateStatus writes the status with an optimistic lock. The spec stays out of
// the body: the API server restores it, and the cache may not have it whole.
func (r *DeliveryReconciler) updateStatus(ctx context.Context, delivery *v1alpha1.WebhookDelivery, status *v1alpha1.WebhookDeliveryStatus) (*v1alpha1.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	out := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: delivery.Namespace, Name: delivery.Name,
			UID: delivery.UID, ResourceVersion: delivery.ResourceVersion,
		},
		Status: *status,
	}
	if err := r.Client.Status().Update(ctx, out); err != nil {
		return nil, err
	}
	strip(out)
	return out, nil
}

// readAgain takes the object as it is now after somebody else wrote it; the
// outcome is kept and folded into the fresh object, never sent again.
func (r *DeliveryReconciler) readAgain(ctx context.Context, delivery *v1alpha1.WebhookDelivery) (reconcile.Result, bool, error) {
	r.Metrics.statusWrite("conflict")
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var fresh v1alpha1.WebhookDelivery
	err := r.Live.Get(ctx, keyOf(delivery), &fresh)
	if apierrors.IsNotFound(err) || err == nil && fresh.UID != delivery.UID {
		r.Runner.Dropped(delivery.UID)
		r.memory.forget(delivery.UID)
		return reconcile.Result{}, true, nil
	}
	if err != nil {
		return reconcile.Result{}, true, fmt.Errorf("read webhookdelivery %s/%s after a conflict: %w", delivery.Namespace, delivery.Name, err)
	}
	strip(&fresh)
	r.memory.remember(&fresh)
	return reconcile.Result{RequeueAfter: time.Millisecond, Priority: new(priorityOutcome)}, true, nil
}

// settleRunner frees the unsettled place of an attempt that is now written.
func (r *DeliveryReconciler) settleRunner(s *situation, status *v1alpha1.WebhookDeliveryStatus) {
	if s.outcome == nil {
		return
	}
	if s.outcome.Err != nil {
		r.Runner.Dropped(s.delivery.UID)
	} else {
		r.Runner.Written(s.delivery.UID, int(status.Attempts), status.State == v1alpha1.DeliverySucceeded)
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

// account does what follows from a status that is written: health, retention,
// metrics, one log line an attempt.
func (r *DeliveryReconciler) account(ctx context.Context, s *situation, written *v1alpha1.WebhookDelivery) {
	made := s.outcome != nil && s.outcome.Err == nil
	if made {
		r.accountAttempt(ctx, s, written)
	}
	wasFinished := isFinished(s.delivery.Status.State) && !made
	s.outcome = nil
	if !isFinished(written.Status.State) || wasFinished {
		return
	}
	r.Retainer.Add(written)
	r.Metrics.finished(written)
	if s.webhook == nil || written.Spec.Test {
		return
	}
	at := written.Status.CompletionTime.Time
	switch {
	case written.Status.State == v1alpha1.DeliverySucceeded:
		r.Observations.Finished(s.webhook, health.Succeeded, at, true)
	case succeededReason(written) == v1alpha1.ReasonEndpointGone:
		r.Observations.Finished(s.webhook, health.Gone, at, true)
	case countsAsEndpointFailure(written):
		r.Observations.Finished(s.webhook, health.Failed, at, true)
	}
}

// countsAsEndpointFailure tells a delivery that the endpoint did not take from
// one that was never fit to be sent.
func countsAsEndpointFailure(delivery *v1alpha1.WebhookDelivery) bool {
	switch succeededReason(delivery) {
	case v1alpha1.ReasonAttemptsExhausted, v1alpha1.ReasonDispatcherLost:
		return true
	case v1alpha1.ReasonDeadlineExceeded:
		return delivery.Status.Attempts > 0
	}
	return false
}

func (r *DeliveryReconciler) accountAttempt(ctx context.Context, s *situation, written *v1alpha1.WebhookDelivery) {
	result := s.outcome.Result
	note, _ := s.outcome.Note.(attemptNote)
	if s.webhook != nil {
		log := written.Status.AttemptLog
		last := log[len(log)-1]
		if note.primary == v1alpha1.SigningKeyCurrent && result.Succeeded() {
			r.Observations.Confirmed(s.webhook, note.overlapEnd)
		}
		if doubtsSignature(last.ResponseStatus) {
			r.Signer.Doubt(s.webhook.UID)
		}
		if last.RetryAfterTime != nil && last.RetryAfterTime.After(s.now) {
			r.Runner.Hold(keyOf(s.webhook), last.RetryAfterTime.Time)
			r.Observations.Held(s.webhook, last.RetryAfterTime.Time)
		}
	}
	r.Metrics.attempt(written, result)
	logAttempt(ctx, written, result)
}

// logAttempt writes the one line that debugging an attempt needs.
func logAttempt(ctx context.Context, written *v1alpha1.WebhookDelivery, result dispatcher.Result) {
	fields := []any{
		"webhook", written.Spec.WebhookRef.Name, "event", written.Spec.EventType, "eventID", written.Spec.EventID,
		"attempt", written.Status.Attempts, "state", written.Status.State,
		"status", result.StatusCode, "durationMilliseconds", result.Duration.Milliseconds(),
	}
	if result.Reason != dispatcher.ReasonNone {
		fields = append(fields, "reason", string(result.Reason), "message", result.Message)
	}
	if next := written.Status.NextAttemptTime; next != nil {
		fields = append(fields, "next", next.UTC().Format(time.RFC3339Nano))
	}
	ctrl.LoggerFrom(ctx).Info("attempt", fields...)
}

// adopt makes a delivery that was applied by hand belong to its Webhook, so
// that deleting the Webhook deletes it, and a Webhook made anew under the name
// is not mistaken for it.
func (r *DeliveryReconciler) adopt(ctx context.Context, s *situation) error {
	if metav1.GetControllerOf(s.delivery) != nil {
		return nil
	}
	owners := append(s.delivery.OwnerReferences, *metav1.NewControllerRef(s.webhook, v1alpha1.GroupVersion.WithKind("Webhook")))
	owners[len(owners)-1].BlockOwnerDeletion = nil
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": s.delivery.UID, "resourceVersion": s.delivery.ResourceVersion, "ownerReferences": owners,
	}})
	if err != nil {
		return fmt.Errorf("encode owner of webhookdelivery %s/%s: %w", s.delivery.Namespace, s.delivery.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	adopted := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: s.delivery.Namespace, Name: s.delivery.Name}}
	if err := r.Client.Patch(ctx, adopted, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("adopt webhookdelivery %s/%s: %w", s.delivery.Namespace, s.delivery.Name, err))
	}
	strip(adopted)
	r.memory.remember(adopted)
	s.delivery = adopted
	return nil
}

func succeededReason(delivery *v1alpha1.WebhookDelivery) string {
	if condition := findCondition(delivery.Status.Conditions, v1alpha1.ConditionSucceeded); condition != nil {
		return condition.Reason
	}
	return ""
}
