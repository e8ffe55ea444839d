// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/destination"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/settings"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// attemptNote carries what preparing an attempt reads to the pass that settles it.
type attemptNote struct {
	webhook  *v1alpha1.Webhook
	primary  v1alpha1.SigningKey
	revision string // of the endpoint
	rotation rotationObservation
}

// newJob describes the next attempt to the runner. A queued job keeps only names and
// numbers; everything else is read when the attempt starts.
func (r *DeliveryReconciler) newJob(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook, number int) attempt.Job {
	key, uid := client.ObjectKeyFromObject(delivery), delivery.UID
	return attempt.Job{
		UID:         uid,
		Delivery:    key,
		Webhook:     webhook.Name,
		Destination: destination.Parse(webhook.Spec.URL),
		Number:      number,
		Timeout:     settings.Timeout(webhook),
		Prepare: func(ctx context.Context) (request dispatcher.Request, note any, err error) {
			panicked := r.Panics.Do(panics.Delivery, func() { request, note, err = r.prepareAttempt(ctx, key, uid, number) })
			if panicked != nil {
				return dispatcher.Request{}, nil, panicked
			}
			return request, note, err
		},
	}
}

// prepareAttempt reads the inputs of one attempt. Its error is errHeld, *signingsecret.Problem,
// *invalidPayload, or a failure of the API server; no attempt is used up.
func (r *DeliveryReconciler) prepareAttempt(ctx context.Context, key types.NamespacedName, uid types.UID, number int) (dispatcher.Request, any, error) {
	delivery, webhook, err := r.lookup(ctx, key)
	if err != nil {
		return dispatcher.Request{}, nil, err
	}
	if delivery == nil || delivery.UID != uid || isBeingDeleted(delivery) || webhook == nil || ownedByAnother(delivery, webhook) {
		return dispatcher.Request{}, nil, errHeld
	}
	if wasHandedOver(delivery) {
		if delivery, err = r.readHandedOver(ctx, delivery); err != nil {
			return dispatcher.Request{}, nil, err
		}
	}
	if !isNextAttempt(delivery, number) {
		return dispatcher.Request{}, nil, errHeld
	}
	if len(webhook.Spec.UnknownMembers) > 0 {
		return dispatcher.Request{}, nil, errHeld
	}
	if !delivery.Spec.Test && (webhook.Spec.Suspend || r.Observations.Disabled(webhook)) {
		return dispatcher.Request{}, nil, errHeld
	}
	body, err := r.readPayload(ctx, delivery)
	if err != nil {
		return dispatcher.Request{}, nil, err
	}
	defer r.Registry.dropIfGone(ctx, webhook)
	secrets, err := r.Secrets.Read(ctx, webhook)
	if err != nil {
		return dispatcher.Request{}, nil, err
	}
	var last *v1alpha1.Attempt
	if log := delivery.Status.AttemptLog; len(log) > 0 {
		last = &log[len(log)-1]
	}
	keys, primary := signingsecret.KeysFor(secrets, r.Observations.IsConfirmed(webhook, rotationObservationOf(secrets)), last, r.Now())
	return dispatcher.Request{
		DeliveryID: identity.DeliveryID(delivery.Name, string(delivery.UID)),
		EventID:    delivery.Spec.EventID,
		EventType:  delivery.Spec.EventType,
		Attempt:    number,
		URL:        webhook.Spec.URL,
		Payload:    body,
		Keys:       keys,
		Timeout:    settings.Timeout(webhook),
		Test:       delivery.Spec.Test,
		Forbidden:  r.Forbidden(),
		Trace: dispatcher.Trace{
			Parent: delivery.Spec.TraceParent, Wanted: webhook.Spec.SendTraceParent, Namespace: webhook.Namespace, Webhook: webhook.Name,
		},
	}, attemptNote{webhook: webhook, primary: primary, revision: signingsecret.EndpointRevision(webhook), rotation: rotationObservationOf(secrets)}, nil
}

// isNextAttempt reports whether the delivery still waits for the attempt of this number:
// it may have ended between planning and starting.
func isNextAttempt(delivery *v1alpha1.WebhookDelivery, number int) bool {
	status := &delivery.Status
	return int(status.Attempts) == number-1 && (!isFinished(status.State) ||
		status.State == v1alpha1.DeliveryFailed && retryRequested(delivery, status))
}
