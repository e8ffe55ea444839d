// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
)

// errHeld says that the delivery became held between planning and starting an
// attempt; the next reconcile finds the reason.
var errHeld = errors.New("delivery is held")

// holdReason says why the delivery is held; "": it is not.
func holdReason(s deliveryScope) (reason, message string) {
	switch {
	case s.webhook == nil:
		return v1alpha1.ReasonWebhookNotFound, fmt.Sprintf("there is no Webhook %q in this namespace; waiting an hour for it", s.delivery.Spec.WebhookRef.Name)
	case len(s.webhook.Spec.UnknownMembers) > 0:
		return v1alpha1.ReasonWebhookTooNew, unknownMembersMessage(s.webhook)
	case !s.delivery.Spec.Test && s.webhook.Spec.Suspend:
		return v1alpha1.ReasonWebhookSuspended, "spec.suspend of the webhook holds it; set it to false to go on"
	case !s.delivery.Spec.Test && s.disabled:
		return v1alpha1.ReasonWebhookDisabled, "the webhook is disabled; change its url or annotate it with " + v1alpha1.EnableRequestedAtAnnotation
	case s.signingProblem != nil:
		return v1alpha1.ReasonSigningSecretUnavailable, s.signingProblem.Message
	}
	return "", ""
}

func isHoldReason(reason string) bool {
	return slices.Contains([]string{
		v1alpha1.ReasonWebhookNotFound, v1alpha1.ReasonWebhookTooNew, v1alpha1.ReasonWebhookSuspended,
		v1alpha1.ReasonWebhookDisabled, v1alpha1.ReasonSigningSecretUnavailable,
	}, reason)
}

// mayHoldOrRelease reports whether a change of a webhook may hold or release
// deliveries.
func mayHoldOrRelease(before, after *v1alpha1.Webhook) bool {
	return before.Generation != after.Generation ||
		before.Status.State != after.Status.State ||
		isWebhookReady(before) != isWebhookReady(after)
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
	entry := attemptlog.BoundEntry(*last, now)
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
