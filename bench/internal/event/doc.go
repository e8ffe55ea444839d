// SPDX-License-Identifier: Apache-2.0

// Package event makes the events that the benchmark publishes and recognises
// them where they arrive. Each carries a mark at a fixed place: which run it
// belongs to, its number within the run and when it was sent, so that load and
// receiver need no other link to count and to time deliveries.
package event
