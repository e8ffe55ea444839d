// SPDX-License-Identifier: Apache-2.0

package gateway

// Limits bound what is unfinished, in number and in bytes of payload.
type Limits struct {
	// PerWebhook is the number for one webhook, beside a fifth of its
	// namespace's number and bytes.
	PerWebhook int
	// PerNamespace and PerNamespaceBytes are for one namespace.
	PerNamespace      int
	PerNamespaceBytes int64
	// Cluster and ClusterBytes are for all namespaces together.
	Cluster      int
	ClusterBytes int64
}

// DefaultLimits are 2,000 for a webhook, 10,000 and 256 MiB for a namespace,
// 100,000 and 1 GiB for the cluster.
func DefaultLimits() Limits {
	return Limits{
		PerWebhook: 2_000, PerNamespace: 10_000, PerNamespaceBytes: 256 << 20,
		Cluster: 100_000, ClusterBytes: 1 << 30,
	}
}
