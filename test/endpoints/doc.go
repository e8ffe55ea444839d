// SPDX-License-Identifier: Apache-2.0

// Package endpoints serves endpoints as they are found in the world: those whose
// answers are malformed but clear, that answer before they have read, that turn
// requests away, close connections at the wrong moment, or sit behind a name with
// an address that does not answer. Beside it are the things such an endpoint needs:
// name servers, real servers, and a network of its own in which the way to an endpoint
// is long, or leads nowhere.
//
// [Behaviours] is the door for suites that deliver to each of them: it says what
// every sender should make of an answer. It serves tests only; nothing that is
// installed may import it.
package endpoints
