// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"iter"
	"slices"
)

// sharedQuota is a limit that all namespaces use together.
type sharedQuota struct {
	limit int64
	// perNamespace is what one namespace may use by a limit of its own.
	perNamespace int64
	// used is what all of them use.
	used int64
}

// admits reports whether a namespace that has so much may want so much: no more than
// is left free after it. A busy one leaves room for newcomers, and busy ones that
// finish something share evenly in the end.
//
// A namespace can have more than it would have been admitted with, as by objects made
// by hand. It counts with what it may have, beside those that have more: with no more
// than its own limit, and with half of what they leave. Whoever kept to this rule
// counts in full. others are asked for only where that makes a difference.
func (s sharedQuota) admits(have, want int64, others iter.Seq[int64]) bool {
	if want <= s.limit-s.used {
		return true
	}
	left := s.limit
	for _, used := range slices.Backward(slices.Sorted(others)) {
		left -= min(used, s.perNamespace, (left+1)/2)
	}
	return want <= left-have
}
