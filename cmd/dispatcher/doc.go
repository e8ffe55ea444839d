// SPDX-License-Identifier: Apache-2.0

// Command dispatcher is the sidecar that makes delivery attempts: the one
// process with a way to the network and without any Kubernetes credentials.
//
// It holds flags and wiring only; what it does is in package dispatcher.
package main
