// SPDX-License-Identifier: Apache-2.0

// Package current brings the product up in the cluster of the user's kubeconfig, by its chart, in a namespace of its own, and
// takes away what it made: make demo CLUSTER=current.
//
// It touches no cluster unless a tool has made it on this machine, or the user names it, and no installation that it has not
// made. What it makes has a label, by which a later run finds what an earlier one left. What is there without it, or has been
// made since by others under the same name, stays. It needs Go, and neither Helm nor docker.
//
// Only hack/demo may import it.
package current
