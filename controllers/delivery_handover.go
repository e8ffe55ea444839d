// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// maxHandOver bounds spec.notBefore: after its creation a delivery belongs to its
// creator no longer than this.
const maxHandOver = time.Hour

// isHandedOver reports whether the creator of the delivery may still be making its
// first attempt. Until then the manager does not write its status, and a requested
// retry adds nothing.
func isHandedOver(s deliveryScope) bool {
	spec := &s.delivery.Spec
	return spec.NotBefore != nil && spec.FirstAttempt == nil && s.delivery.Status.Attempts == 0 &&
		s.now.Before(handOverEnd(s.delivery)) && s.now.Before(deliveryDeadline(s.delivery, s.webhook))
}

// handOverEnd is the end of the hand-over: until then the creator of the delivery may
// be making its first attempt.
func handOverEnd(delivery *v1alpha1.WebhookDelivery) time.Time {
	return earliest(delivery.Spec.NotBefore.Time, delivery.CreationTimestamp.Add(maxHandOver))
}

// wasHandedOver reports whether the first attempt was handed over to the creator of the
// delivery and no outcome of it is shown.
func wasHandedOver(delivery *v1alpha1.WebhookDelivery) bool {
	return delivery.Spec.NotBefore != nil && delivery.Spec.FirstAttempt == nil && delivery.Status.Attempts == 0
}

// readHandedOver reads such a delivery from the API server: the cache may be behind, by
// a minute while it syncs, and an outcome that it does not show would be sent again.
func (r *DeliveryReconciler) readHandedOver(ctx context.Context, delivery *v1alpha1.WebhookDelivery) (*v1alpha1.WebhookDelivery, error) {
	now, err := r.readLive(ctx, client.ObjectKeyFromObject(delivery))
	if err != nil {
		return nil, err
	}
	if now == nil || now.UID != delivery.UID || isBeingDeleted(now) {
		return nil, errHeld
	}
	r.pending.keepWritten(now)
	return now, nil
}
