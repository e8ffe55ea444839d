// SPDX-License-Identifier: Apache-2.0

// Package receivers checks that the example receivers in examples/receivers do
// what a receiver must: each is started as its README says and posted to, by the
// checks alone and by the running product.
//
// It signs with the standard library, not with the product. Only tests and the
// command in check import it.
package receivers
