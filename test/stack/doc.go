// SPDX-License-Identifier: Apache-2.0

// Package stack runs the whole product without a cluster: the embedded control
// plane, managers, gateways and dispatchers as processes of their own. Each has
// the rights of its ServiceAccount and nothing more. Rights and arguments are
// those of the Helm chart, so what the chart forgets is missing here too.
//
// The demo, the process-level tests and the benchmarks share it. It never fakes
// a component, and no binary that users install imports it.
package stack
