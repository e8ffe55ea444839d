// SPDX-License-Identifier: Apache-2.0

// Package load publishes events as many publishers do, over connections that
// stay open, and remembers what it was answered about each. It runs as a
// process of its own, at the least cost: package sink counts what arrives.
package load
