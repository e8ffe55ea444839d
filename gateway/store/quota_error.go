// SPDX-License-Identifier: Apache-2.0

package store

// Reasons of a QuotaError. They are API: never reworded.
const (
	QuotaWebhookFull   = "BacklogFull"
	QuotaNamespaceFull = "NamespaceBacklogFull"
	QuotaClusterFull   = "ClusterBacklogFull"
	QuotaExceedsLimits = "ExceedsLimits" // for good
)

// QuotaError refuses deliveries because of a backlog quota.
type QuotaError struct{ Reason, Detail string }

// Error implements error.
func (e *QuotaError) Error() string { return e.Detail }

// newExceedsQuotaError is the error of an event that can never fit.
func newExceedsQuotaError(detail string) *QuotaError {
	return &QuotaError{Reason: QuotaExceedsLimits, Detail: detail}
}
