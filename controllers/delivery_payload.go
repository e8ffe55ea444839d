// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// readPayload returns the bytes to sign, checked: a delivery created by hand can carry
// any bytes, but only those in the form of published events are signed.
func (r *DeliveryReconciler) readPayload(ctx context.Context, delivery *v1alpha1.WebhookDelivery) ([]byte, error) {
	body := delivery.Spec.Payload
	if body == "" { // the cache keeps small payloads only
		ctx, cancel := context.WithTimeout(ctx, apiTimeout)
		defer cancel()
		var whole v1alpha1.WebhookDelivery
		err := r.Live.Get(ctx, client.ObjectKeyFromObject(delivery), &whole)
		if apierrors.IsNotFound(err) || err == nil && whole.UID != delivery.UID {
			return nil, errHeld
		}
		if err != nil {
			return nil, fmt.Errorf("get payload of webhookdelivery %s/%s: %w", delivery.Namespace, delivery.Name, err)
		}
		body = whole.Spec.Payload
	}
	info, err := payload.Check([]byte(body))
	if err != nil {
		return nil, &invalidPayload{reason: v1alpha1.ReasonPayloadInvalid, message: fmt.Sprintf("spec.payload: %v", err)}
	}
	if info.EventType != delivery.Spec.EventType {
		return nil, &invalidPayload{
			reason:  v1alpha1.ReasonEventTypeMismatch,
			message: fmt.Sprintf("spec.eventType is %q and the payload's event is %q; create the delivery anew with one of them", delivery.Spec.EventType, info.EventType),
		}
	}
	return []byte(body), nil
}

// invalidPayload says that a delivery must never be signed.
type invalidPayload struct{ reason, message string }

func (e *invalidPayload) Error() string { return e.message }

// payloadBytes is the size of a delivery's payload, also of a stripped one.
func payloadBytes(delivery *v1alpha1.WebhookDelivery) int64 {
	if size := len(delivery.Spec.Payload); size > 0 {
		return int64(size)
	}
	size, _ := strconv.ParseInt(delivery.Annotations[payloadBytesAnnotation], 10, 64)
	return size
}
