// SPDX-License-Identifier: Apache-2.0

// Package process tests the product as users run it: the real control plane,
// managers and dispatchers as processes with no more rights than their
// ServiceAccounts have, endpoints on real sockets, and the faults that
// processes, sidecars and API servers really have.
//
// The sizes fit a run of all tests. PROCESS_FULL=1 in the environment makes them
// as large as what they claim, and the build tag slow adds what needs real
// minutes. Nothing imports this package, and it never reaches into the programs
// that it tests.
package process
