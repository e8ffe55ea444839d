// SPDX-License-Identifier: Apache-2.0

// Package memory tells Go's garbage collector how much memory a process may
// take, so that it neither collects all the time nor lets the kernel kill it, and
// gives back what a burst has left.
// Manager, gateway and dispatcher import it; it imports automemlimit.
package memory
