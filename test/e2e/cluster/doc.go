// SPDX-License-Identifier: Apache-2.0

// Package cluster runs a real Kubernetes cluster of one node: the embedded
// control plane, kube-scheduler, kubelet, kube-proxy, containerd with runc, and
// the bridge CNI plugin. Pods run, Services lead to them.
//
// It configures the machine that it is on: [Start] belongs into network, mount
// and PID namespaces of its own, as hack/e2e makes them, where the kernel tidies
// up whatever happens. What it leaves out: DNS, storage and the enforcement of
// NetworkPolicies. Linux and root only.
//
// Only test/e2e may import it.
package cluster
