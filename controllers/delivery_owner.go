// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
)

// adoptRetry is the wait while the cache still shows a Webhook that is gone.
const adoptRetry = time.Second

// adopt makes the Webhook the owner of a delivery that was applied by hand, so that
// deleting the Webhook deletes it, and a later Webhook of the same name is not taken
// for its own; done: the pass ends here.
func (r *DeliveryReconciler) adopt(ctx context.Context, s *deliveryScope) (result reconcile.Result, done bool, err error) {
	if metav1.GetControllerOf(s.delivery) != nil {
		return reconcile.Result{}, false, nil
	}
	// The garbage collector deletes objects whose owner is gone, so the owner is read
	// from the API server.
	owner, err := r.readLiveWebhook(ctx, client.ObjectKeyFromObject(s.webhook))
	if err != nil {
		return reconcile.Result{}, true, err
	}
	if owner == nil || owner.UID != s.webhook.UID {
		return reconcile.Result{RequeueAfter: adoptRetry, Priority: new(priorityNormal)}, true, nil
	}
	adopted, err := r.patchOwner(ctx, s)
	switch {
	case err == nil:
	case denial.IsTooLarge(err):
		ctrl.LoggerFrom(ctx).Error(err, "a delivery cannot be given its owner; it is not sent")
		return reconcile.Result{RequeueAfter: unwritableRetry, Priority: new(priorityNormal)}, true, nil
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		if result, settled, readErr := r.handleWriteConflict(ctx, s.delivery); settled || readErr != nil {
			return result, true, readErr
		}
		fallthrough // a policy's answer
	default:
		if !isWriteUnreachable(err) {
			r.pool.noteFailure(client.ObjectKeyFromObject(s.delivery))
		}
		return reconcile.Result{}, true, fmt.Errorf("adopt webhookdelivery %s/%s: %w", s.delivery.Namespace, s.delivery.Name, err)
	}
	stripDelivery(adopted)
	r.pending.keepWritten(adopted)
	s.delivery = adopted
	return reconcile.Result{}, false, nil
}

func (r *DeliveryReconciler) patchOwner(ctx context.Context, s *deliveryScope) (*v1alpha1.WebhookDelivery, error) {
	owner := metav1.NewControllerRef(s.webhook, v1alpha1.GroupVersion.WithKind("Webhook"))
	owner.BlockOwnerDeletion = nil
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": s.delivery.UID, "resourceVersion": s.delivery.ResourceVersion,
		"ownerReferences": append(slices.Clone(s.delivery.OwnerReferences), *owner),
	}})
	if err != nil {
		return nil, err
	}
	adopted := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: s.delivery.Namespace, Name: s.delivery.Name}}
	return adopted, r.pool.writeTimeouts.Do(ctx, s.delivery.Namespace, func(ctx context.Context) error {
		return r.Client.Patch(ctx, adopted, client.RawPatch(types.MergePatchType, patch))
	})
}

func ownedByAnother(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook) bool {
	owner := metav1.GetControllerOf(delivery)
	return owner != nil && owner.UID != webhook.UID
}
