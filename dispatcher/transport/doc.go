// SPDX-License-Identifier: Apache-2.0

// Package transport makes one POST to an endpoint: it looks the host up, connects
// to an address that the guard lets pass, speaks TLS, HTTP/2 or HTTP/1.1, keeps
// connections for the next attempt, and returns the answer as soon as its head is
// complete.
//
// It is not [net/http.Transport], because that one hides what an attempt depends
// on. An answer that arrived counts, although the request could not be written to
// its end, or the answer's body is malformed. A request that the endpoint says it
// has not processed, or that cannot have reached it, goes out once more at once; no
// other ever does. Dialling ends with the attempt. HTTP/1.1 is spoken here, for one
// POST at a time; HTTP/2 by [net/http.ClientConn].
//
// It signs nothing, judges no answer, never follows a redirect, and imports the
// standard library and package netguard. Package dispatcher is its only user.
package transport
