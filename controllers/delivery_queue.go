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
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
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

// enqueueAdmitted ends the admissions of a delivery and enqueues those that waited for them.
func (r *DeliveryReconciler) enqueueAdmitted(delivery types.NamespacedName) {
	for _, p := range []*fairAdmission{r.outcomeAdmission, r.slowOutcomeAdmission} {
		if next, ok := p.release(delivery); ok {
			r.enqueueOutcome(next)
		}
	}
	if next, ok := r.releasedAdmission.release(delivery); ok {
		if queue := r.queue.Load(); queue != nil {
			enqueueDelivery(queue, next)
		}
	}
}

func (r *DeliveryReconciler) enqueueDeliveries(ctx context.Context, webhook *v1alpha1.Webhook, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	var list v1alpha1.WebhookDeliveryList
	err := r.Deliveries.List(ctx, &list, client.InNamespace(webhook.Namespace),
		client.MatchingFields{v1alpha1.FieldWebhookName: webhook.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list deliveries of a webhook that changed", "webhook", client.ObjectKeyFromObject(webhook))
		return
	}
	for i := range list.Items {
		if !isFinished(list.Items[i].Status.State) {
			if key := client.ObjectKeyFromObject(&list.Items[i]); r.releasedAdmission.admit(key) {
				enqueueDelivery(q, key)
			}
		}
	}
}

func enqueueDelivery(q workqueue.TypedRateLimitingInterface[reconcile.Request], key types.NamespacedName) {
	request := reconcile.Request{NamespacedName: key}
	if prioritised, ok := q.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		prioritised.AddWithOpts(priorityqueue.AddOpts{Priority: new(priorityNormal)}, request)
		return
	}
	q.Add(request)
}
