// SPDX-License-Identifier: Apache-2.0

package store

import (
	"iter"
	"slices"
)

// sharedQuota is a quota that all namespaces use together.
type sharedQuota struct {
	limit int64
	// perNamespace is the quota of one namespace.
	perNamespace int64
	// used is the use of all namespaces together.
	used int64
}

// admits reports whether a namespace whose use is have may raise it to want: no further than what is left free
// afterwards. So a busy namespace leaves room for newcomers, and busy namespaces that finish deliveries share evenly in
// the end. A namespace can use more than this rule admits, for example by objects made by hand. Of its use at most its
// own quota counts, and at most half of what larger namespaces leave. The use of a namespace within the rule counts in
// full. others is iterated only where it makes a difference.
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
