// SPDX-License-Identifier: Apache-2.0

// Package hop compares ways to carry an attempt from one process to another
// over a unix socket, for ADR 8. It is a module of its own, so that what was
// not chosen is no dependency of the product.
//
//	go -C test/hop test -run '^$' -bench . -benchtime 1s
package hop
