// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
)

// lookup returns the newest known version of a delivery, and its webhook; nil
// where the caches have none.
func (r *DeliveryReconciler) lookup(ctx context.Context, key types.NamespacedName) (*v1alpha1.WebhookDelivery, *v1alpha1.Webhook, error) {
	var cached v1alpha1.WebhookDelivery
	err := r.Deliveries.Get(ctx, key, &cached)
	if apierrors.IsNotFound(err) && r.pending.hasUnconfirmed(key) {
		// It has left the cache after a write that got no answer: deleted, or
		// Succeeded by that very write, which is not accounted for yet.
		return r.lookupLive(ctx, key)
	}
	if err != nil {
		return nil, nil, client.IgnoreNotFound(err)
	}
	delivery, caughtUp := r.pending.newest(&cached)
	if caughtUp {
		r.Runner.Acknowledge(delivery.UID, attempt.Ack{Attempts: int(delivery.Status.Attempts), Cached: true})
	}
	webhook, err := r.lookupWebhook(ctx, delivery)
	return delivery, webhook, err
}

// lookupLive is lookup where the cache of deliveries has no answer.
func (r *DeliveryReconciler) lookupLive(ctx context.Context, key types.NamespacedName) (*v1alpha1.WebhookDelivery, *v1alpha1.Webhook, error) {
	delivery, err := r.readLive(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	if gone := r.pending.confirmGone(key, delivery); gone != "" {
		r.Runner.Acknowledge(gone, attempt.Ack{Dropped: true})
	}
	if delivery == nil {
		return nil, nil, nil
	}
	webhook, err := r.lookupWebhook(ctx, delivery)
	return delivery, webhook, err
}

// lookupWebhook returns the Webhook of a delivery; nil if there is none. Where the
// cache's answer would end the delivery, the API server is asked: the cache of
// Webhooks can be behind that of deliveries.
func (r *DeliveryReconciler) lookupWebhook(ctx context.Context, delivery *v1alpha1.WebhookDelivery) (*v1alpha1.Webhook, error) {
	key := types.NamespacedName{Namespace: delivery.Namespace, Name: delivery.Spec.WebhookRef.Name}
	var webhook v1alpha1.Webhook
	err := r.Client.Get(ctx, key, &webhook)
	final := !isFinished(delivery.Status.State) || retryRequested(delivery, &delivery.Status)
	switch {
	case err == nil && !(final && ownedByAnother(delivery, &webhook)):
		return &webhook, nil
	case apierrors.IsNotFound(err) && !(final && r.Now().Sub(delivery.CreationTimestamp.Time) >= webhookGrace):
		return nil, nil
	case err != nil && !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("get webhook %s: %w", key, err)
	}
	return r.readLiveWebhook(ctx, key)
}

// readLive reads a delivery from the API server; nil if there is none.
func (r *DeliveryReconciler) readLive(ctx context.Context, key types.NamespacedName) (*v1alpha1.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var fresh v1alpha1.WebhookDelivery
	if err := r.Live.Get(ctx, key, &fresh); err != nil {
		return nil, client.IgnoreNotFound(fmt.Errorf("get webhookdelivery %s: %w", key, err))
	}
	stripDelivery(&fresh)
	return &fresh, nil
}

// readLiveWebhook reads a Webhook from the API server; nil if there is none.
func (r *DeliveryReconciler) readLiveWebhook(ctx context.Context, key types.NamespacedName) (*v1alpha1.Webhook, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var webhook v1alpha1.Webhook
	if err := r.Live.Get(ctx, key, &webhook); err != nil {
		return nil, client.IgnoreNotFound(fmt.Errorf("get webhook %s: %w", key, err))
	}
	return &webhook, nil
}
