// SPDX-License-Identifier: Apache-2.0

// Package chart renders the Helm chart of the tree, with Helm's own engine and
// its check of the values, and the kustomization in config/. A program of a
// module of its own does it, hack/tools/helm, which is built at first use. The
// demo and the tests of whole processes take their rights and arguments from it.
//
// Its tests say that chart and kustomization make the same objects, that values
// with mistakes are refused, and that what comes out keeps our rules. Those that
// need a Helm as users have it run with make check-helm.
package chart
