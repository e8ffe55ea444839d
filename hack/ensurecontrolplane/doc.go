// SPDX-License-Identifier: Apache-2.0

// Command ensurecontrolplane makes sure that the binaries of the embedded control plane are built and prints their folder,
// fit for KUBEBUILDER_ASSETS. It reports progress on standard error, starts none of them, and takes no arguments. Nothing
// imports it.
package main
