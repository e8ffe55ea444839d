// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/denial"
)

// Reasons why a delivery is not retried. They are API: never reworded.
const (
	reasonDeliverySucceeded = "DeliverySucceeded"
	reasonWebhookMissing    = "WebhookMissing"
	reasonWebhookSuspended  = "WebhookSuspended"
	reasonWebhookDisabled   = "WebhookDisabled"
)

// acceptedAnswer is a response with a delivery that will be attempted.
type acceptedAnswer struct {
	Body rest.Delivery
}

func (h *deliveryHandlers) registerDeliveryRetry(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "retry-delivery", Method: http.MethodPost, Path: "/v1/deliveries/{id}/retry", Tags: []string{"Deliveries"},
		DefaultStatus: http.StatusAccepted, Summary: "Attempt a delivery now",
		Description: "A failed delivery gets one more attempt, as often as asked for; a pending or retrying one gets its next attempt now; one that is being sent gets none. " +
			"409 with the reason if it has succeeded or if its webhook is suspended, disabled or deleted. Done with the caller's own token: needs the right to patch webhookdeliveries.",
	}, h.retryDelivery)
}

func (h *deliveryHandlers) retryDelivery(ctx context.Context, in *DeliveryPath) (*acceptedAnswer, error) {
	entry, err := h.findPermittedDelivery(ctx, in, "patch")
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	key := types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}
	for range maxChangeTries {
		delivery, err := h.readLiveDelivery(ctx, key)
		if err != nil {
			return nil, failWithProblem(ctx, err)
		}
		if err := h.checkRetriable(ctx, delivery); err != nil {
			return nil, failWithProblem(ctx, err)
		}
		err = h.requestRetry(ctx, delivery)
		if denial.IsConflict(err) { // it may have succeeded meanwhile
			continue
		}
		if denial.IsNotFound(err) {
			return nil, failWithProblem(ctx, notFoundProblem("delivery"))
		}
		if err != nil {
			return nil, failWithProblem(ctx, problemFromAPI(err, "asking for a retry"))
		}
		h.deliveries.ApplyWrite(delivery)
		return &acceptedAnswer{presentDelivery(store.NewDeliveryEntry(delivery, h.now()))}, nil
	}
	return nil, failWithProblem(ctx, contendedProblem())
}

// requestRetry asks the controller for an attempt, if the delivery has not changed since
// it was read.
func (h *deliveryHandlers) requestRetry(ctx context.Context, delivery *v1alpha1.WebhookDelivery) error {
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q,"annotations":{%q:%q}}}`,
		delivery.ResourceVersion, v1alpha1.RetryRequestedAtAnnotation, h.now().UTC().Format(time.RFC3339Nano))
	return h.callerClient.Patch(ctx, delivery, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(requestManager))
}

// checkRetriable returns a problem if a retry would have no effect. It reads both objects
// from the API server, because the indexes may be a moment old.
func (h *deliveryHandlers) checkRetriable(ctx context.Context, delivery *v1alpha1.WebhookDelivery) error {
	refused := func(reason, detail string) error { return newProblem(http.StatusConflict, reason, detail) }
	if delivery.Status.State == v1alpha1.DeliverySucceeded {
		return refused(reasonDeliverySucceeded, "the delivery has succeeded; publish the event again under another id to send it once more")
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var webhook v1alpha1.Webhook
	err := h.client.Get(ctx, types.NamespacedName{Namespace: delivery.Namespace, Name: delivery.Spec.WebhookRef.Name}, &webhook)
	if err != nil && !apierrors.IsNotFound(err) {
		return unavailableProblem("reading the webhook", err)
	}
	owner := metav1.GetControllerOf(delivery)
	switch {
	case err != nil, owner != nil && owner.UID != webhook.UID:
		return refused(reasonWebhookMissing, "the webhook of this delivery was deleted")
	case delivery.Spec.Test:
		return nil
	case webhook.Spec.Suspend:
		return refused(reasonWebhookSuspended, "the webhook is suspended; resume it first")
	case webhook.Status.State == v1alpha1.WebhookDisabled:
		return refused(reasonWebhookDisabled, "the webhook is disabled; mend the endpoint and enable it first")
	}
	return nil
}
