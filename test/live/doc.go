// SPDX-License-Identifier: Apache-2.0

// Package live runs the whole product on a control plane of its own and tells
// what a person needs who uses it over HTTP: the address of the gateway and
// tokens.
//
// It serves checks in other languages, through the command in run, and tests in
// Go. Nothing that ships may import it.
package live
