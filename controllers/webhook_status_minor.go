// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// isMinor reports whether the write of a status can wait for its turn: it brings
// counters, times and words only, or says that attempts fail less than a minute
// after it has said so before. An endpoint that takes a delivery now and then
// costs two writes a minute so, and not one for each change of its mind. How the
// latest attempt failed is no minor thing where nothing was said of it before.
func (r *WebhookReconciler) isMinor(s *webhookScope, status *v1alpha1.WebhookStatus) bool {
	before, after := steady(&s.webhook.Status), steady(status)
	if beginsToFail(before, after) {
		last, _ := r.failing.Load(keyOf(s.webhook))
		if at, ok := last.(time.Time); !ok || s.now.Sub(at) >= statusInterval {
			return false
		}
		healthy := findCondition(after.Conditions, v1alpha1.ConditionEndpointHealthy)
		if was := findCondition(before.Conditions, v1alpha1.ConditionEndpointHealthy); was != nil {
			*healthy = *was
		}
	} else if namesLatest(status) && !namesLatest(&s.webhook.Status) && failsAlready(before) {
		return false
	}
	return equality.Semantic.DeepEqual(before, after)
}

// namesLatest reports whether a status says how the latest attempt failed.
func namesLatest(status *v1alpha1.WebhookStatus) bool {
	healthy := findCondition(status.Conditions, v1alpha1.ConditionEndpointHealthy)
	return healthy != nil && strings.Contains(healthy.Message, latestWith)
}

// failsAlready reports whether a status says that the endpoint takes nothing.
func failsAlready(status *v1alpha1.WebhookStatus) bool {
	return meta.IsStatusConditionFalse(status.Conditions, v1alpha1.ConditionEndpointHealthy)
}

// beginsToFail reports whether a status says that attempts fail and the one before
// it did not.
func beginsToFail(before, after *v1alpha1.WebhookStatus) bool {
	return attemptsFail(after) && !attemptsFail(before)
}

// attemptsFail reports whether a status says that attempts fail.
func attemptsFail(status *v1alpha1.WebhookStatus) bool {
	healthy := findCondition(status.Conditions, v1alpha1.ConditionEndpointHealthy)
	return healthy != nil && healthy.Reason == v1alpha1.ReasonAttemptsFailing
}

// steady is a status without what changes all the time: counters, times, and how
// the latest attempt failed.
func steady(status *v1alpha1.WebhookStatus) *v1alpha1.WebhookStatus {
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
