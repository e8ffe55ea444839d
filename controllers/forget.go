// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
)

// What is known of a webhook is dropped when it goes. A pass that began before
// may note something after that, which nobody would ever drop: so whoever has
// noted something looks whether the webhook is still there. The cache stops
// showing it before anybody hears that it is gone, so one of the two sees the
// other.

// forgetWebhook drops what is known of a webhook that is gone.
func (r *DeliveryReconciler) forgetWebhook(webhook *v1alpha1.Webhook) {
	key := keyOf(webhook)
	r.Runner.Reset(key, attempt.WebhookChange{Gone: true})
	r.Secrets.Forget(webhook.UID)
	r.Observations.Forget(key)
	r.Retainer.ForgetWebhook(key)
	r.Metrics.forgetWebhook(key)
}

// forgetIfGone is forgetWebhook for one that may be gone; nil: none.
func (r *DeliveryReconciler) forgetIfGone(ctx context.Context, webhook *v1alpha1.Webhook) {
	switch gone, replaced := isGone(ctx, r.Client, webhook); {
	case replaced:
		r.Secrets.Forget(webhook.UID)
	case gone:
		r.forgetWebhook(webhook)
	}
}

// forgetIfGone drops what a pass over a Webhook has noted that is gone by now.
func (r *WebhookReconciler) forgetIfGone(ctx context.Context, webhook *v1alpha1.Webhook) {
	gone, replaced := isGone(ctx, r.Client, webhook)
	if gone || replaced {
		r.Secrets.Forget(webhook.UID)
	}
	if gone {
		r.Observations.Forget(keyOf(webhook))
		r.Metrics.forgetWebhook(keyOf(webhook))
	}
}

// isGone reports whether the cache has no webhook of that name any more, or
// another one.
func isGone(ctx context.Context, cached client.Reader, webhook *v1alpha1.Webhook) (gone, replaced bool) {
	if webhook == nil {
		return false, false
	}
	var now v1alpha1.Webhook
	err := cached.Get(ctx, keyOf(webhook), &now)
	return apierrors.IsNotFound(err), err == nil && now.UID != webhook.UID
}
