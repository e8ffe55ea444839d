// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// unfinished sums up the unfinished deliveries of a webhook. It is read from the
// objects at each pass, so it survives a restart.
type unfinished struct {
	count int64
	// failedSince is when the earliest of their failed attempts without a later success
	// began; zero: there is none.
	failedSince time.Time
	// latest is the newest failed attempt, also of a delivery that failed for good;
	// empty: there is none.
	latest v1alpha1.Attempt
	// partial: the cache does not have all deliveries yet.
	partial bool
}

// add adds one delivery. Attempts that began up to healthy do not count.
func (u *unfinished) add(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook, healthy time.Time) {
	ended := isFinished(delivery.Status.State)
	if !ended {
		u.count++
	}
	if delivery.Spec.Test || ownedByAnother(delivery, webhook) {
		return
	}
	for _, entry := range delivery.Status.AttemptLog {
		started := entry.StartTime.Time
		if !failedAtEndpoint(entry) || !started.After(healthy) {
			continue
		}
		if !ended && (u.failedSince.IsZero() || started.Before(u.failedSince)) {
			u.failedSince = started
		}
		if started.After(u.latest.StartTime.Time) {
			u.latest = entry
		}
	}
}

// readUnfinished reads the unfinished deliveries of a webhook. While the cache syncs there
// are at least as many as the status says.
func (r *WebhookReconciler) readUnfinished(ctx context.Context, webhook *v1alpha1.Webhook) (unfinished, error) {
	var list v1alpha1.WebhookDeliveryList
	err := r.Deliveries.List(ctx, &list, client.InNamespace(webhook.Namespace),
		client.MatchingFields{v1alpha1.FieldWebhookName: webhook.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return unfinished{}, fmt.Errorf("list deliveries of webhook %s/%s: %w", webhook.Namespace, webhook.Name, err)
	}
	u := unfinished{partial: !r.Sync.Done()}
	healthy := r.Observations.Facts(webhook).CountsSince()
	for i := range list.Items {
		u.add(&list.Items[i], webhook, healthy)
	}
	if u.partial {
		u.count = max(u.count, webhook.Status.DeliveriesPending)
	}
	return u, nil
}
