// SPDX-License-Identifier: Apache-2.0

// Package stats holds the few rules by which measurements become figures:
// percentiles, medians over rounds, growth over time. It is pure.
package stats
