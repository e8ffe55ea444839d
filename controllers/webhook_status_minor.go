// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// isMinor reports whether the write of a status can wait: it changes only counters,
// times and messages, or says that attempts fail less than a minute after the last
// status that said so. An endpoint that accepts a delivery now and then costs two
// writes a minute that way, and not one for each change. The first message about the
// latest failed attempt is not minor.
func (r *WebhookReconciler) isMinor(s *webhookScope, status *v1alpha1.WebhookStatus) bool {
	before, after := withoutVolatile(&s.webhook.Status), withoutVolatile(status)
	if startsFailing(before, after) {
		last, _ := r.lastFailing.Load(keyOf(s.webhook))
		if at, ok := last.(time.Time); !ok || s.now.Sub(at) >= statusInterval {
			return false
		}
		healthy := findCondition(after.Conditions, v1alpha1.ConditionEndpointHealthy)
		if was := findCondition(before.Conditions, v1alpha1.ConditionEndpointHealthy); was != nil {
			*healthy = *was
		}
	} else if namesLatestFailure(status) && !namesLatestFailure(&s.webhook.Status) && isUnhealthy(before) {
		return false
	}
	return equality.Semantic.DeepEqual(before, after)
}

// namesLatestFailure reports whether a status describes the latest failed attempt.
func namesLatestFailure(status *v1alpha1.WebhookStatus) bool {
	healthy := findCondition(status.Conditions, v1alpha1.ConditionEndpointHealthy)
	return healthy != nil && strings.Contains(healthy.Message, latestFailurePrefix)
}

// isUnhealthy reports whether a status says that the endpoint accepts nothing.
func isUnhealthy(status *v1alpha1.WebhookStatus) bool {
	return meta.IsStatusConditionFalse(status.Conditions, v1alpha1.ConditionEndpointHealthy)
}

// startsFailing reports whether a status says that attempts fail and the one before it
// did not.
func startsFailing(before, after *v1alpha1.WebhookStatus) bool {
	return attemptsFail(after) && !attemptsFail(before)
}

// attemptsFail reports whether a status says that attempts fail.
func attemptsFail(status *v1alpha1.WebhookStatus) bool {
	healthy := findCondition(status.Conditions, v1alpha1.ConditionEndpointHealthy)
	return healthy != nil && healthy.Reason == v1alpha1.ReasonAttemptsFailing
}

// withoutVolatile is a status without counters, times, and the description of the latest
// failed attempt, which change all the time.
func withoutVolatile(status *v1alpha1.WebhookStatus) *v1alpha1.WebhookStatus {
	out := status.DeepCopy()
	out.LastSuccessTime, out.LastFailureTime, out.RetryAfterTime, out.LastSkippedTime = nil, nil, nil, nil
	out.DeliveriesSucceeded, out.DeliveriesFailed, out.DeliveriesUnrecorded, out.DeliveriesSkipped, out.DeliveriesPending = 0, 0, 0, 0, 0
	for i := range out.Conditions {
		c := &out.Conditions[i]
		if c.Type == v1alpha1.ConditionEndpointHealthy || c.Type == v1alpha1.ConditionReady && c.Reason == v1alpha1.ReasonReady {
			c.Message = ""
		}
	}
	return out
}
