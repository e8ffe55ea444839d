// SPDX-License-Identifier: Apache-2.0

// Package dispatcher makes delivery attempts: it takes one attempt, signs it,
// sends one POST and says what came of it.
//
// It has two halves that meet at a unix socket. [Client] is what the manager
// and the gateway hold; it hands over a [Request] and gets back a [Result].
// [Server] runs in the sidecar, the only process with a way to the network. It
// keeps nothing of an attempt but its connection, decides nothing about retries
// and holds no credentials: the signing secret comes with each request and is
// never logged.
//
// What it never does: follow a redirect, use a proxy, decompress, send a request
// again that the endpoint may have processed, connect to an address that
// [netguard.Policy] forbids, import anything of Kubernetes.
//
// Manager and gateway, and the packages under internal/ that speak of attempts,
// may import this package for its client and its types; only cmd/dispatcher
// builds a server.
package dispatcher
