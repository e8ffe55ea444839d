// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/destination"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// watchDeliveries enqueues deliveries, all with one priority, ignores echoes of our
// own writes, and drops the state of deliveries that left the cache.
func (r *DeliveryReconciler) watchDeliveries() handler.TypedEventHandler[*v1alpha1.WebhookDelivery, reconcile.Request] {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.TypedFuncs[*v1alpha1.WebhookDelivery, reconcile.Request]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1alpha1.WebhookDelivery], q queue) {
			r.holdRetryAfter(ctx, e.Object)
			if !e.IsInInitialList {
				r.Observations.DeliveryArrived(types.NamespacedName{Namespace: e.Object.Namespace, Name: e.Object.Spec.WebhookRef.Name})
			}
			enqueueDelivery(q, client.ObjectKeyFromObject(e.Object))
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*v1alpha1.WebhookDelivery], q queue) {
			if hasUndecidedAttempt(&e.ObjectNew.Status) {
				r.holdRetryAfter(ctx, e.ObjectNew)
			}
			if r.pending.isEcho(e.ObjectNew.UID, e.ObjectNew.ResourceVersion) {
				r.Runner.Acknowledge(e.ObjectNew.UID, attempt.Ack{Attempts: int(e.ObjectNew.Status.Attempts), Cached: true})
				return
			}
			enqueueDelivery(q, client.ObjectKeyFromObject(e.ObjectNew))
		},
		// Deleted, or Succeeded and so out of the cache: in both cases the delivery is
		// over.
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1alpha1.WebhookDelivery], q queue) {
			if r.pending.unconfirmedBefore(e.Object) != nil {
				enqueueDelivery(q, client.ObjectKeyFromObject(e.Object))
				return
			}
			r.Runner.Acknowledge(e.Object.UID, attempt.Ack{Gone: true})
			r.pending.drop(e.Object.UID)
		},
	}
}

// watchWebhooks enqueues the deliveries of a webhook when a change may hold or
// release them.
func (r *DeliveryReconciler) watchWebhooks() handler.TypedEventHandler[*v1alpha1.Webhook, reconcile.Request] {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.TypedFuncs[*v1alpha1.Webhook, reconcile.Request]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1alpha1.Webhook], q queue) {
			if until, now := e.Object.Status.RetryAfterTime, r.Now(); until != nil && until.After(now) && !endpointChanged(e.Object) {
				r.Runner.Hold(client.ObjectKeyFromObject(e.Object), retry.BoundRetryAfter(until.Time, now))
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
				r.Runner.Reset(client.ObjectKeyFromObject(e.ObjectNew), attempt.WebhookChange{Destination: destination.Parse(e.ObjectNew.Spec.URL)})
			}
			r.Runner.Reset(client.ObjectKeyFromObject(e.ObjectNew), attempt.WebhookChange{Judged: isWebhookDisabled(e.ObjectOld) != isWebhookDisabled(e.ObjectNew)})
			r.enqueueDeliveries(ctx, e.ObjectNew, q)
		},
		DeleteFunc: func(ctx context.Context, e event.TypedDeleteEvent[*v1alpha1.Webhook], q queue) {
			r.Registry.drop(e.Object)
			r.enqueueDeliveries(ctx, e.Object, q)
		},
	}
}
