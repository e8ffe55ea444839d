// SPDX-License-Identifier: Apache-2.0

package gateway

// Reasons of a quotaError. They are API: never reworded.
const (
	quotaWebhookFull   = "BacklogFull"
	quotaNamespaceFull = "NamespaceBacklogFull"
	quotaClusterFull   = "ClusterBacklogFull"
	quotaExceedsLimits = "ExceedsLimits" // for good
)

// quotaError refuses deliveries because of a backlog quota.
type quotaError struct{ reason, detail string }

// Error implements error.
func (e *quotaError) Error() string { return e.detail }
