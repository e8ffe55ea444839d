// SPDX-License-Identifier: Apache-2.0

// Package forwarder is what the product is measured against: the least that
// can send signed webhooks at all. It accepts a POST, makes two HMAC-SHA256
// signatures, POSTs the body on over connections that stay open and answers
// once the endpoints have. It checks no caller and no event, remembers nothing,
// and does not try again. It is written with net/http, as a Go programmer would.
package forwarder
