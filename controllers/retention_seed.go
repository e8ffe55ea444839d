// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/health"
)

// seed lists the deliveries that finished before this process began: failed ones from
// the cache, succeeded ones from the API server, page by page. Unlisted entries are
// dropped.
func (r *Retainer) seed(ctx context.Context) error {
	began := r.Now()
	var failed v1alpha1.WebhookDeliveryList
	isFailed := client.MatchingFields{v1alpha1.FieldState: string(v1alpha1.DeliveryFailed)}
	if err := r.Cached.List(ctx, &failed, isFailed, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list cached deliveries: %w", err)
	}
	for i := range failed.Items {
		r.seedListed(ctx, &failed.Items[i])
	}
	namespaces := r.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		if err := r.seedSucceeded(ctx, namespace); err != nil {
			return err
		}
	}
	r.dropUnlisted(began.Add(-seedSlack))
	return nil
}

func (r *Retainer) seedSucceeded(ctx context.Context, namespace string) error {
	options := &client.ListOptions{Namespace: namespace, Limit: retentionPageMin}
	client.MatchingFields{v1alpha1.FieldState: string(v1alpha1.DeliverySucceeded)}.ApplyToList(options)
	for {
		var page v1alpha1.WebhookDeliveryList
		if err := r.Live.List(ctx, &page, options); err != nil {
			return fmt.Errorf("list succeeded deliveries: %w", err)
		}
		bytes := int64(1)
		for i := range page.Items {
			stripDelivery(&page.Items[i])
			r.seedListed(ctx, &page.Items[i])
			bytes += objectBytes + payloadBytes(&page.Items[i])
		}
		if page.Continue == "" {
			return nil
		}
		options.Continue = page.Continue
		options.Limit = min(max(retentionPageBytes*int64(len(page.Items))/bytes, retentionPageMin), retentionPageMax)
	}
}

// seedListed adds one listed delivery, and observes its outcome if a former process may
// have died before the webhook's status had it.
func (r *Retainer) seedListed(ctx context.Context, delivery *v1alpha1.WebhookDelivery) {
	r.Add(delivery)
	if delivery.Spec.Test || delivery.Status.CompletionTime == nil {
		return
	}
	var webhook v1alpha1.Webhook
	key := types.NamespacedName{Namespace: delivery.Namespace, Name: delivery.Spec.WebhookRef.Name}
	if r.Client.Get(ctx, key, &webhook) != nil || ownedByAnother(delivery, &webhook) || !isAboutCurrentEndpoint(delivery, &webhook) {
		return
	}
	at := notAfter(delivery.Status.CompletionTime.Time, r.Now())
	outcome, known := endpointOutcome(delivery), webhook.Status.LastFailureTime
	if outcome == health.Succeeded {
		known = webhook.Status.LastSuccessTime
	}
	disabled := outcome != health.Succeeded && webhook.Status.State == v1alpha1.WebhookDisabled
	if outcome != 0 && !disabled && at.After(timeOf(known).Add(time.Second)) {
		r.Observations.DeliveryFinished(&webhook, outcome, at, false)
	}
}

// dropUnlisted drops entries that were last seen before a time: another client has
// deleted them. No watch event tells that of a succeeded delivery, and a
// ttlAfterFinished may be long.
func (r *Retainer) dropUnlisted(before time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid, entry := range r.byUID {
		if entry.lastSeen.Before(before) {
			r.unindexLocked(uid)
		}
	}
	r.ttl = slices.DeleteFunc(r.ttl, func(entry *finishedDelivery) bool { return r.byUID[entry.uid] != entry })
	heap.Init(&r.ttl)
}
