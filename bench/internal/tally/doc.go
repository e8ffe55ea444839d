// SPDX-License-Identifier: Apache-2.0

// Package tally compares what publishers were promised with what receivers
// got: which deliveries are missing, which came twice. It is pure.
package tally
