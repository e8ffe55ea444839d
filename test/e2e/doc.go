// SPDX-License-Identifier: Apache-2.0

// Package e2e holds the suite that installs a release on a real node, chart and
// image from a registry, and does to it what operators do: make e2e. Its tests
// have the build tag e2e and run in the namespaces that hack/e2e makes.
//
// It prints a table of what it measured, which docs/measurements.md quotes.
package e2e
