// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/retry"
)

// Defaults of the CRD. Those of the retry policy are in package retry.
const (
	defaultDeadline = 72 * time.Hour
	defaultOverlap  = 24 * time.Hour
)

// RetryPolicy is spec.retryPolicy; nil: that of a Webhook which sets none.
func RetryPolicy(webhook *v1alpha1.Webhook) retry.Policy {
	policy := retry.DefaultPolicy()
	if webhook == nil || webhook.Spec.RetryPolicy == nil {
		return policy
	}
	spec := webhook.Spec.RetryPolicy
	if spec.Delays != nil {
		policy.Delays = make([]time.Duration, 0, len(*spec.Delays))
		for _, delay := range *spec.Delays {
			policy.Delays = append(policy.Delays, delay.Duration)
		}
	}
	if spec.Timeout != nil {
		policy.Timeout = spec.Timeout.Duration
	}
	if spec.JitterPercent != nil {
		policy.JitterPercent = int(*spec.JitterPercent)
	}
	return policy
}

// Timeout is spec.retryPolicy.timeout, which bounds one attempt.
func Timeout(webhook *v1alpha1.Webhook) time.Duration {
	if policy := webhook.Spec.RetryPolicy; policy != nil && policy.Timeout != nil {
		return policy.Timeout.Duration
	}
	return retry.DefaultPolicy().Timeout
}

// Deadline is spec.deliveryDeadline; nil: that of a Webhook which sets none.
func Deadline(webhook *v1alpha1.Webhook) time.Duration {
	if webhook != nil && webhook.Spec.DeliveryDeadline != nil {
		return webhook.Spec.DeliveryDeadline.Duration
	}
	return defaultDeadline
}

// Overlap is spec.signing.overlap: how long both secrets of a rotation sign.
func Overlap(webhook *v1alpha1.Webhook) time.Duration {
	if webhook.Spec.Signing != nil && webhook.Spec.Signing.Overlap != nil {
		return webhook.Spec.Signing.Overlap.Duration
	}
	return defaultOverlap
}

// RecordPolicy is spec.retention.record: which immediate successes become objects.
func RecordPolicy(webhook *v1alpha1.Webhook) v1alpha1.RecordPolicy {
	if webhook.Spec.Retention == nil || webhook.Spec.Retention.Record == "" {
		return v1alpha1.RecordBudgeted
	}
	return webhook.Spec.Retention.Record
}
