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
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// queueBox holds the controller's queue, which exists once it has started.
type queueBox struct {
	priorityqueue.PriorityQueue[reconcile.Request]
}

// keepQueue lets the runner wake the reconciler without a bounded channel.
func (r *DeliveryReconciler) keepQueue(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	prioritised, ok := queue.(priorityqueue.PriorityQueue[reconcile.Request])
	if !ok {
		return errors.New("the delivery controller needs a priority queue")
	}
	r.queue.Store(&queueBox{prioritised})
	return nil
}

// Wake makes the reconciler look at a delivery whose attempt has ended.
func (r *DeliveryReconciler) Wake(delivery types.NamespacedName) {
	if r.outcomes.begin(delivery) {
		r.wake(delivery)
	}
}

// WakeSlow is Wake for a delivery of a webhook whose endpoint is slow.
func (r *DeliveryReconciler) WakeSlow(delivery types.NamespacedName) {
	if r.slowOutcomes.begin(delivery) {
		r.wake(delivery)
	}
}

func (r *DeliveryReconciler) wake(delivery types.NamespacedName) {
	if queue := r.queue.Load(); queue != nil {
		queue.AddWithOpts(priorityqueue.AddOpts{Priority: new(priorityOutcome)}, reconcile.Request{NamespacedName: delivery})
	}
}

// wakeNext gives the turns of a delivery to those that wait for one.
func (r *DeliveryReconciler) wakeNext(delivery types.NamespacedName) {
	for _, p := range []*pace{r.outcomes, r.slowOutcomes} {
		if next, ok := p.done(delivery); ok {
			r.wake(next)
		}
	}
	if next, ok := r.released.done(delivery); ok {
		if queue := r.queue.Load(); queue != nil {
			enqueue(queue, next)
		}
	}
}

// deliveryEvents enqueues deliveries with one priority for all, drops the echo
// of our own writes, and lets go of what is gone.
func (r *DeliveryReconciler) deliveryEvents() handler.TypedEventHandler[*v1alpha1.WebhookDelivery, reconcile.Request] {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.TypedFuncs[*v1alpha1.WebhookDelivery, reconcile.Request]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1alpha1.WebhookDelivery], q queue) {
			r.hold(ctx, e.Object)
			if !e.IsInInitialList {
				r.Observations.Arrived(types.NamespacedName{Namespace: e.Object.Namespace, Name: e.Object.Spec.WebhookRef.Name})
			}
			enqueue(q, keyOf(e.Object))
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*v1alpha1.WebhookDelivery], q queue) {
			if isReported(&e.ObjectNew.Status) {
				r.hold(ctx, e.ObjectNew)
			}
			if r.memory.isEcho(e.ObjectNew.UID, e.ObjectNew.ResourceVersion) {
				r.Runner.Observed(e.ObjectNew.UID, int(e.ObjectNew.Status.Attempts))
				return
			}
			enqueue(q, keyOf(e.ObjectNew))
		},
		// Deleted, or Succeeded and so out of the cache: in both cases there is
		// nothing left to do for this object.
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1alpha1.WebhookDelivery], q queue) {
			if r.memory.doubtful(e.Object) != nil {
				enqueue(q, keyOf(e.Object))
				return
			}
			r.Runner.Forget(e.Object.UID)
			r.memory.forget(e.Object.UID)
		},
	}
}

// hold leaves an endpoint alone that asked another process for it, a former one or
// a gateway: before anything of the same webhook that comes later is looked at.
func (r *DeliveryReconciler) hold(ctx context.Context, delivery *v1alpha1.WebhookDelivery) {
	last, now := delivery.Spec.FirstAttempt, r.Now()
	if log := delivery.Status.AttemptLog; len(log) > 0 {
		last = &log[len(log)-1]
	}
	if last == nil || last.RetryAfterTime == nil {
		return
	}
	made := attemptlog.Bounded(*last, now)
	if made.RetryAfterTime == nil || !made.RetryAfterTime.After(now) {
		return
	}
	key := types.NamespacedName{Namespace: delivery.Namespace, Name: delivery.Spec.WebhookRef.Name}
	var webhook v1alpha1.Webhook
	switch err := r.Client.Get(ctx, key, &webhook); {
	case err != nil: // nobody would ever end the hold of a webhook that does not exist
	case ownedByAnother(delivery, &webhook):
	case !isOfEndpoint(&made, &webhook):
	default:
		r.Runner.Hold(key, made.RetryAfterTime.Time)
	}
}

// webhookEvents enqueues the deliveries of a webhook when it changes in a way
// that may hold or release them.
func (r *DeliveryReconciler) webhookEvents() handler.TypedEventHandler[*v1alpha1.Webhook, reconcile.Request] {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.TypedFuncs[*v1alpha1.Webhook, reconcile.Request]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1alpha1.Webhook], q queue) {
			if until, now := e.Object.Status.RetryAfterTime, r.Now(); until != nil && until.After(now) && !endpointChanged(e.Object) {
				r.Runner.Hold(keyOf(e.Object), earliest(until.Time, now.Add(retry.MaxRetryAfter)))
			}
			if !e.IsInInitialList {
				r.enqueueAll(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*v1alpha1.Webhook], q queue) {
			if !releases(e.ObjectOld, e.ObjectNew) {
				return
			}
			if signingsecret.EndpointRevision(e.ObjectOld) != signingsecret.EndpointRevision(e.ObjectNew) {
				r.Runner.Redirect(keyOf(e.ObjectNew), destination(e.ObjectNew.Spec.URL))
			}
			r.Runner.Calm(keyOf(e.ObjectNew))
			r.enqueueAll(ctx, e.ObjectNew, q)
		},
		DeleteFunc: func(ctx context.Context, e event.TypedDeleteEvent[*v1alpha1.Webhook], q queue) {
			r.forgetWebhook(e.Object)
			r.enqueueAll(ctx, e.Object, q)
		},
	}
}

// releases reports whether a change may hold deliveries or set them free.
func releases(before, after *v1alpha1.Webhook) bool {
	return before.Generation != after.Generation ||
		before.Status.State != after.Status.State ||
		isReady(before) != isReady(after)
}

func (r *DeliveryReconciler) enqueueAll(ctx context.Context, webhook *v1alpha1.Webhook, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	var list v1alpha1.WebhookDeliveryList
	err := r.Deliveries.List(ctx, &list, client.InNamespace(webhook.Namespace),
		client.MatchingFields{v1alpha1.FieldWebhookName: webhook.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list deliveries of a webhook that changed", "webhook", keyOf(webhook))
		return
	}
	for i := range list.Items {
		if !isFinished(list.Items[i].Status.State) {
			if key := keyOf(&list.Items[i]); r.released.begin(key) {
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
