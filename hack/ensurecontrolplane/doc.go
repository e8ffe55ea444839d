// SPDX-License-Identifier: Apache-2.0

// Command ensurecontrolplane gets the binaries of the embedded control plane, downloaded or built, and prints their folder,
// fit for KUBEBUILDER_ASSETS. It reports progress on standard error, starts none of them, and takes no arguments. Nothing
// imports it.
package main
