// SPDX-License-Identifier: Apache-2.0

// Package release downloads binaries of official releases of other projects over HTTPS. A binary gets its name and becomes
// executable only after the whole of the downloaded file had the digest that the caller gave; what has another digest is
// removed.
//
// It never takes a digest from the network, never runs what it downloads, never follows a redirect to a host that it was not
// given, and never waits for long for a host that is silent.
//
// Only internal/controlplane may import it.
package release
