// SPDX-License-Identifier: Apache-2.0

// Package version names the build: what a release sets by linker flag, or the go
// command writes into a binary, and what the binaries print and send as part of
// their User-Agent.
//
// It holds nothing else and imports the standard library only. Every package may import it.
package version
