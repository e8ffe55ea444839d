// SPDX-License-Identifier: Apache-2.0

// Package sink is the endpoint of the benchmark's webhooks: it answers POSTs
// at the least cost, counts every event for every path, and times it from the
// publisher's stamp. It runs as a process of its own, so that its CPU time can
// be told apart, and is steered over a second port; see [Client].
//
// It checks no signatures: package test/receiver does, in the tests.
package sink
