// SPDX-License-Identifier: Apache-2.0

// Package procstat reads what Linux says about a process: the CPU time it has
// used, its memory, its open sockets. It sees processes of the same machine
// only, and asks them nothing.
package procstat
