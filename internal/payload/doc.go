// SPDX-License-Identifier: Apache-2.0

// Package payload makes and checks the body of a delivery: the exact bytes that
// are stored, signed and sent.
//
// Many receivers verify a signature over a body that they parsed and wrote
// again. So the body is a fixed point of JavaScript: for all that Build returns,
// JSON.stringify(JSON.parse(body)) === body in V8, byte for byte. Spelling is
// normalised for that, values never change; what cannot be carried without
// changing a value is refused with an *Error.
//
// It is pure: no clock, no network, no state. Errors hold at most some 80 bytes
// of the input. Every package of this module may import it.
package payload
