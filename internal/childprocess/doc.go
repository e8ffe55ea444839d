// SPDX-License-Identifier: Apache-2.0

// Package childprocess runs the programs of the demo, the tests and the
// benchmarks as real processes that die with their parent.
//
// It knows nothing of what it runs. Only development tools import it, never a
// binary that users install.
package childprocess
