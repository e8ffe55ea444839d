// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// isAboutCurrentEndpoint reports whether the latest attempt of a delivery went to the
// endpoint that the webhook has now.
func isAboutCurrentEndpoint(delivery *v1alpha1.WebhookDelivery, webhook *v1alpha1.Webhook) bool {
	log := delivery.Status.AttemptLog
	return len(log) == 0 || isOfCurrentEndpoint(&log[len(log)-1], webhook)
}

// isOfCurrentEndpoint reports whether an attempt was made with the url and the signing that
// the webhook has now. An answer of a former endpoint says nothing about the present one.
func isOfCurrentEndpoint(entry *v1alpha1.Attempt, webhook *v1alpha1.Webhook) bool {
	return webhook == nil || attemptlog.IsEntryOf(entry, signingsecret.EndpointRevision(webhook), webhook.Status.EnabledTime)
}

// endpointOutcome is what a finished delivery says about its endpoint; 0: nothing.
func endpointOutcome(delivery *v1alpha1.WebhookDelivery) health.Outcome {
	switch {
	case delivery.Status.State == v1alpha1.DeliverySucceeded:
		return health.Succeeded
	case succeededReason(delivery) == v1alpha1.ReasonEndpointGone:
		return health.Gone
	case countsAsEndpointFailure(delivery):
		return health.Failed
	}
	return 0
}

// countsAsEndpointFailure distinguishes a delivery that the endpoint did not accept
// from one that was never fit to be sent.
func countsAsEndpointFailure(delivery *v1alpha1.WebhookDelivery) bool {
	switch succeededReason(delivery) {
	case v1alpha1.ReasonAttemptsExhausted, v1alpha1.ReasonDispatcherLost:
		return true
	case v1alpha1.ReasonDeadlineExceeded:
		return delivery.Status.Attempts > 0
	}
	return false
}

// failedAtEndpoint distinguishes an attempt that the endpoint did not accept from one
// that succeeded and from one that failed on our side.
func failedAtEndpoint(entry v1alpha1.Attempt) bool {
	switch dispatcher.Reason(entry.Reason) {
	case dispatcher.ReasonNone, dispatcher.ReasonDispatcherLost, dispatcher.ReasonRequestInvalid:
		return false
	}
	return true
}
