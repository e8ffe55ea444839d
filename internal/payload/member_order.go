// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"math"
	"slices"
)

// member is one member of an object as it stands in the output, without commas.
type member struct {
	start, end int
	// rank is the value of a key that is an array index, or notIndex.
	rank uint64
}

const notIndex = math.MaxUint64

// memberRank returns the value of a key that JavaScript takes for an array index
// (ECMA-262, section 6.1.7): "0" to "4294967294", without leading zeros. Such
// keys come first and ascending when an object is enumerated; all others keep
// the order in which they were written. "__proto__" is one of the others:
// JSON.parse makes it an ordinary property.
func memberRank(key []byte) uint64 {
	const maxIndex, maxDigits = 1<<32 - 2, 10
	if len(key) == 0 || len(key) > maxDigits || key[0] == '0' && len(key) > 1 {
		return notIndex
	}
	var n uint64
	for _, c := range key {
		if !isDigit(c) {
			return notIndex
		}
		n = n*10 + uint64(c-'0')
	}
	if n > maxIndex {
		return notIndex
	}
	return n
}

// membersInOrder reports whether JavaScript would enumerate members as they stand.
func membersInOrder(members []member) bool {
	return slices.IsSortedFunc(members, compareMemberRanks)
}

func compareMemberRanks(a, b member) int { return cmp.Compare(a.rank, b.rank) }

// reorderMembers rewrites out from the first of the members on so that they stand in
// JavaScript's order, separated by commas. scratch is memory to use; it is
// returned, grown, for the next call.
func reorderMembers(out []byte, members []member, scratch []byte) []byte {
	start := members[0].start
	slices.SortStableFunc(members, compareMemberRanks)
	scratch = scratch[:0]
	for i, m := range members {
		if i > 0 {
			scratch = append(scratch, ',')
		}
		scratch = append(scratch, out[m.start:m.end]...)
	}
	copy(out[start:], scratch)
	return scratch
}
