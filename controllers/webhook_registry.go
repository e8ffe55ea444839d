// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// webhookRegistry knows every table in memory that has entries of Webhooks, and drops
// the entries of a Webhook when it is gone. Tables are registered before the manager
// starts.
//
// A pass that began before the deletion may add an entry after it, which no event would
// ever drop. So each pass ends with dropIfGone. The cache stops showing a Webhook before
// its deletion is an event, so either the pass or the event drops the entry.
type webhookRegistry struct {
	// cached reads Webhooks from the cache.
	cached client.Reader

	deleted []func(types.NamespacedName)
	absent  []func(types.NamespacedName)
	byUID   []func(types.UID)
}

// onDelete registers tables by the name of Webhooks, whose entries deliveries may need
// though no Webhook of the name ever existed.
func (r *webhookRegistry) onDelete(drop ...func(types.NamespacedName)) {
	r.deleted = append(r.deleted, drop...)
}

// onAbsent registers tables by the name of Webhooks, whose entries are dropped also
// when a pass finds no Webhook of the name.
func (r *webhookRegistry) onAbsent(drop ...func(types.NamespacedName)) {
	r.absent = append(r.absent, drop...)
}

// onDeleteUID registers tables by the uid of Webhooks: their entries are dropped also
// when another Webhook has taken the name.
func (r *webhookRegistry) onDeleteUID(drop ...func(types.UID)) {
	r.byUID = append(r.byUID, drop...)
}

// drop drops the entries of a Webhook that is gone.
func (r *webhookRegistry) drop(webhook *v1alpha1.Webhook) {
	r.dropUID(webhook.UID)
	r.dropAbsent(client.ObjectKeyFromObject(webhook))
	for _, drop := range r.deleted {
		drop(client.ObjectKeyFromObject(webhook))
	}
}

// dropAbsent drops entries by a name of which a pass found no Webhook.
func (r *webhookRegistry) dropAbsent(webhook types.NamespacedName) {
	for _, drop := range r.absent {
		drop(webhook)
	}
}

func (r *webhookRegistry) dropUID(uid types.UID) {
	for _, drop := range r.byUID {
		drop(uid)
	}
}

// dropIfGone is drop for a Webhook that the cache no longer shows; nil: none.
func (r *webhookRegistry) dropIfGone(ctx context.Context, webhook *v1alpha1.Webhook) {
	if webhook == nil {
		return
	}
	var present v1alpha1.Webhook
	switch err := r.cached.Get(ctx, client.ObjectKeyFromObject(webhook), &present); {
	case apierrors.IsNotFound(err):
		r.drop(webhook)
	case err == nil && present.UID != webhook.UID:
		r.dropUID(webhook.UID)
	}
}
