// SPDX-License-Identifier: Apache-2.0

// Package sources lists the files of the tree that git knows and parses those of the module that are Go. It never builds or
// type-checks them, so it sees files of all build tags and needs no network. The checks and tools in hack/ may import it.
package sources
