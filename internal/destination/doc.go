// SPDX-License-Identifier: Apache-2.0

// Package destination names the host:port of an endpoint, by which attempts to one
// server are bounded. It is pure and resolves no names; every package may import it.
package destination
