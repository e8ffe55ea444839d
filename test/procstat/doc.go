// SPDX-License-Identifier: Apache-2.0

// Package procstat says what processes of this machine have used, for tests and
// benchmarks: it gives what procfs reads the units that they compare. It sees
// Linux only and asks no process anything; no binary that users install imports
// it.
package procstat
