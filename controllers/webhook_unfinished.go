// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// unfinished is what the deliveries of a webhook say that have not ended.
//
// It is read from the objects at each pass, so it survives a restart.
type unfinished struct {
	count int64
	// failedSince is when the earliest of their failed attempts began that no
	// success has followed; zero: there is none.
	failedSince time.Time
	// latest is the newest attempt that failed, also of a delivery that failed for
	// good; empty: there is none.
	latest v1alpha1.Attempt
	// partial: some deliveries have not been read yet.
	partial bool
}

// add takes one delivery into account. Attempts that began up to healthy do not
// count.
func (u *unfinished) add(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook, healthy time.Time) {
	ended := isFinished(delivery.Status.State)
	if !ended {
		u.count++
	}
	if delivery.Spec.Test || ownedByAnother(delivery, webhook) {
		return
	}
	for _, made := range delivery.Status.AttemptLog {
		started := made.StartTime.Time
		if !failedAtEndpoint(made) || !started.After(healthy) {
			continue
		}
		if !ended && (u.failedSince.IsZero() || started.Before(u.failedSince)) {
			u.failedSince = started
		}
		if started.After(u.latest.StartTime.Time) {
			u.latest = made
		}
	}
}

// failedAtEndpoint tells an attempt that the endpoint did not take from one that
// succeeded, and from one that went wrong here.
func failedAtEndpoint(made v1alpha1.Attempt) bool {
	switch dispatcher.Reason(made.Reason) {
	case dispatcher.ReasonNone, dispatcher.ReasonDispatcherLost, dispatcher.ReasonRequestInvalid:
		return false
	}
	return true
}

// outcomeText names how an attempt failed: "HTTPStatus 500", "Timeout".
func outcomeText(made v1alpha1.Attempt) string {
	if made.ResponseStatus == nil {
		return made.Reason
	}
	return made.Reason + " " + strconv.Itoa(int(*made.ResponseStatus))
}

// unfinished reads the deliveries of a webhook that have not ended. While they are
// still being read there are at least as many as there were.
func (r *WebhookReconciler) unfinished(ctx context.Context, webhook *v1alpha1.Webhook) (unfinished, error) {
	var list v1alpha1.WebhookDeliveryList
	err := r.Deliveries.List(ctx, &list, client.InNamespace(webhook.Namespace),
		client.MatchingFields{v1alpha1.FieldWebhookName: webhook.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return unfinished{}, fmt.Errorf("list deliveries of webhook %s/%s: %w", webhook.Namespace, webhook.Name, err)
	}
	u := unfinished{partial: !r.Filling.Done()}
	healthy := r.Observations.Facts(webhook).CountsSince()
	for i := range list.Items {
		u.add(&list.Items[i], webhook, healthy)
	}
	if u.partial {
		u.count = max(u.count, webhook.Status.DeliveriesPending)
	}
	return u, nil
}
