// SPDX-License-Identifier: Apache-2.0

// Package cost measures what it takes to handle bytes that somebody else chose:
// memory that is allocated, and CPU time of the thread, which a busy machine does
// not change. A fuzz target holds both against a bound that is linear in the
// bytes. Do not use it in parallel tests: memory is counted for the process.
package cost
