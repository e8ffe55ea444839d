// SPDX-License-Identifier: Apache-2.0

// Package stack runs the whole product without a cluster: the embedded control
// plane, managers and dispatchers as processes of their own, each manager with
// the rights of its ServiceAccount and nothing more.
//
// The demo, the process-level tests and the benchmarks share it. It never fakes
// a component, and no binary that users install imports it.
package stack
