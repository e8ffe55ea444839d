// SPDX-License-Identifier: Apache-2.0

// Package ratelimit bounds the rate of something for each of many keys, such as callers
// or addresses, with a token bucket each (golang.org/x/time/rate). The number of keys
// is bounded as well. Packages authn, authz and gateway import it.
package ratelimit
