// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
	"bbmcp.quietstack.com/webhooks/internal/destination"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// deliveryQueue holds the controller's queue, which exists once it has started.
type deliveryQueue struct {
	priorityqueue.PriorityQueue[reconcile.Request]
}

// storeQueue lets the runner wake the reconciler without a bounded channel.
func (r *DeliveryReconciler) storeQueue(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	prioritised, ok := queue.(priorityqueue.PriorityQueue[reconcile.Request])
	if !ok {
		return errors.New("the delivery controller needs a priority queue")
	}
	r.queue.Store(&deliveryQueue{prioritised})
	return nil
}

// Wake enqueues a delivery whose attempt has ended.
func (r *DeliveryReconciler) Wake(delivery types.NamespacedName) {
	if r.outcomeAdmission.admit(delivery) {
		r.enqueueOutcome(delivery)
	}
}

// WakeSlow is Wake for a delivery of a webhook whose endpoint is slow.
func (r *DeliveryReconciler) WakeSlow(delivery types.NamespacedName) {
	if r.slowOutcomeAdmission.admit(delivery) {
		r.enqueueOutcome(delivery)
	}
}

func (r *DeliveryReconciler) enqueueOutcome(delivery types.NamespacedName) {
	if queue := r.queue.Load(); queue != nil {
		queue.AddWithOpts(priorityqueue.AddOpts{Priority: new(priorityOutcome)}, reconcile.Request{NamespacedName: delivery})
	}
}

// admitNext ends the admissions of a delivery and enqueues those that waited for them.
func (r *DeliveryReconciler) admitNext(delivery types.NamespacedName) {
	for _, p := range []*fairAdmission{r.outcomeAdmission, r.slowOutcomeAdmission} {
		if next, ok := p.release(delivery); ok {
			r.enqueueOutcome(next)
		}
	}
	if next, ok := r.releasedAdmission.release(delivery); ok {
		if queue := r.queue.Load(); queue != nil {
			enqueue(queue, next)
		}
	}
}

// deliveryEvents enqueues deliveries, all with one priority, ignores echoes of our
// own writes, and drops the state of deliveries that left the cache.
func (r *DeliveryReconciler) deliveryEvents() handler.TypedEventHandler[*v1alpha1.WebhookDelivery, reconcile.Request] {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.TypedFuncs[*v1alpha1.WebhookDelivery, reconcile.Request]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1alpha1.WebhookDelivery], q queue) {
			r.holdRetryAfter(ctx, e.Object)
			if !e.IsInInitialList {
				r.Observations.DeliveryArrived(types.NamespacedName{Namespace: e.Object.Namespace, Name: e.Object.Spec.WebhookRef.Name})
			}
			enqueue(q, keyOf(e.Object))
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*v1alpha1.WebhookDelivery], q queue) {
			if hasUndecidedAttempt(&e.ObjectNew.Status) {
				r.holdRetryAfter(ctx, e.ObjectNew)
			}
			if r.pending.isEcho(e.ObjectNew.UID, e.ObjectNew.ResourceVersion) {
				r.Runner.Acknowledge(e.ObjectNew.UID, attempt.Ack{Attempts: int(e.ObjectNew.Status.Attempts), Cached: true})
				return
			}
			enqueue(q, keyOf(e.ObjectNew))
		},
		// Deleted, or Succeeded and so out of the cache: in both cases the delivery is
		// over.
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1alpha1.WebhookDelivery], q queue) {
			if r.pending.unconfirmedBefore(e.Object) != nil {
				enqueue(q, keyOf(e.Object))
				return
			}
			r.Runner.Acknowledge(e.Object.UID, attempt.Ack{Gone: true})
			r.pending.drop(e.Object.UID)
		},
	}
}

// holdRetryAfter applies the Retry-After of an attempt that another process made, a former
// manager or a gateway, before later deliveries of the same webhook are reconciled.
func (r *DeliveryReconciler) holdRetryAfter(ctx context.Context, delivery *v1alpha1.WebhookDelivery) {
	last, now := delivery.Spec.FirstAttempt, r.Now()
	if log := delivery.Status.AttemptLog; len(log) > 0 {
		last = &log[len(log)-1]
	}
	if last == nil || last.RetryAfterTime == nil {
		return
	}
	entry := attemptlog.Bounded(*last, now)
	if entry.RetryAfterTime == nil || !entry.RetryAfterTime.After(now) {
		return
	}
	key := types.NamespacedName{Namespace: delivery.Namespace, Name: delivery.Spec.WebhookRef.Name}
	var webhook v1alpha1.Webhook
	switch err := r.Client.Get(ctx, key, &webhook); {
	case err != nil: // the hold of a webhook that does not exist would never end
	case ownedByAnother(delivery, &webhook):
	case !isOfCurrentEndpoint(&entry, &webhook):
	default:
		r.Runner.Hold(key, entry.RetryAfterTime.Time)
	}
}

// webhookEvents enqueues the deliveries of a webhook when a change may hold or
// release them.
func (r *DeliveryReconciler) webhookEvents() handler.TypedEventHandler[*v1alpha1.Webhook, reconcile.Request] {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.TypedFuncs[*v1alpha1.Webhook, reconcile.Request]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1alpha1.Webhook], q queue) {
			if until, now := e.Object.Status.RetryAfterTime, r.Now(); until != nil && until.After(now) && !endpointChanged(e.Object) {
				r.Runner.Hold(keyOf(e.Object), retry.BoundRetryAfter(until.Time, now))
			}
			if !e.IsInInitialList {
				r.enqueueDeliveries(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*v1alpha1.Webhook], q queue) {
			if !mayHoldOrRelease(e.ObjectOld, e.ObjectNew) {
				return
			}
			if signingsecret.EndpointRevision(e.ObjectOld) != signingsecret.EndpointRevision(e.ObjectNew) {
				r.Runner.Reset(keyOf(e.ObjectNew), attempt.WebhookChange{Destination: destination.Parse(e.ObjectNew.Spec.URL)})
			}
			r.Runner.Reset(keyOf(e.ObjectNew), attempt.WebhookChange{Judged: wasJudged(e.ObjectOld, e.ObjectNew)})
			r.enqueueDeliveries(ctx, e.ObjectNew, q)
		},
		DeleteFunc: func(ctx context.Context, e event.TypedDeleteEvent[*v1alpha1.Webhook], q queue) {
			r.Registry.drop(e.Object)
			r.enqueueDeliveries(ctx, e.Object, q)
		},
	}
}

// mayHoldOrRelease reports whether a change of a webhook may hold or release
// deliveries.
func mayHoldOrRelease(before, after *v1alpha1.Webhook) bool {
	return before.Generation != after.Generation ||
		before.Status.State != after.Status.State ||
		isReady(before) != isReady(after)
}

// wasJudged reports whether a webhook was disabled, or enabled again.
func wasJudged(before, after *v1alpha1.Webhook) bool {
	return (before.Status.State == v1alpha1.WebhookDisabled) != (after.Status.State == v1alpha1.WebhookDisabled)
}

func (r *DeliveryReconciler) enqueueDeliveries(ctx context.Context, webhook *v1alpha1.Webhook, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	var list v1alpha1.WebhookDeliveryList
	err := r.Deliveries.List(ctx, &list, client.InNamespace(webhook.Namespace),
		client.MatchingFields{v1alpha1.FieldWebhookName: webhook.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list deliveries of a webhook that changed", "webhook", keyOf(webhook))
		return
	}
	for i := range list.Items {
		if !isFinished(list.Items[i].Status.State) {
			if key := keyOf(&list.Items[i]); r.releasedAdmission.admit(key) {
				enqueue(q, key)
			}
		}
	}
}

func enqueue(q workqueue.TypedRateLimitingInterface[reconcile.Request], key types.NamespacedName) {
	request := reconcile.Request{NamespacedName: key}
	if prioritised, ok := q.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		prioritised.AddWithOpts(priorityqueue.AddOpts{Priority: new(priorityNormal)}, request)
		return
	}
	q.Add(request)
}
