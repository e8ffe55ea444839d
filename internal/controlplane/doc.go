// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a real Kubernetes control plane (etcd, kube-apiserver and kube-controller-manager) as child
// processes on loopback, with RBAC on. [Ensure] gets the three binaries once, from official releases where the tree holds
// their digests and the network gives them, else built from the tools module hack/controlplane; [Start] runs them, [Apply]
// installs manifests.
//
// What it leaves out of a cluster: nodes, scheduler, Pods, Services and every controller that only serves those. The API
// server publishes 192.0.2.1 (a documentation address, RFC 5737) as its own in the EndpointSlice "kubernetes", because a
// loopback address is not allowed there.
//
// It never runs a downloaded binary that it has not checked, never listens on anything but 127.0.0.1, never touches a kubeconfig of the user, and never leaves a process behind:
// on Linux the children die with their parent, however it ends; elsewhere [ControlPlane.Stop] has to be called. It runs on
// Linux and macOS.
//
// Only the demo, tests and benchmarks may import it.
package controlplane
