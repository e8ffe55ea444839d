// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/binary"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// hookBytes and setBytes are what a webhook, and a set beside its text, takes in
	// memory, about.
	hookBytes = 192
	setBytes  = 96
)

// hookSets holds sets of webhooks, each once, for as long as something refers to
// it. A set is kept as runs of the numbers of its webhooks: those of an event
// follow each other, but for a few, so that a set takes some bytes however many
// webhooks are in it.
type hookSets struct {
	hooks  []types.UID
	number map[types.UID]uint64 // in hooks

	sets  []hookSet
	place map[string]int32 // in sets, by the runs
	free  []int32          // places of sets that nothing refers to
	bytes int64            // that all take in memory, about
}

type hookSet struct {
	runs string
	refs int32
}

func newHookSets() *hookSets {
	return &hookSets{number: map[types.UID]uint64{}, place: map[string]int32{}}
}

// add refers to a set, which release gives back.
func (s *hookSets) add(uids []types.UID) int32 {
	runs := s.encode(uids)
	if place, ok := s.place[runs]; ok {
		s.sets[place].refs++
		return place
	}
	set, place := hookSet{runs: runs, refs: 1}, int32(len(s.sets)) //nolint:gosec // G115: no more than events
	if last := len(s.free) - 1; last >= 0 {
		place, s.free = s.free[last], s.free[:last]
		s.sets[place] = set
	} else {
		s.sets = append(s.sets, set)
	}
	s.place[runs] = place
	s.bytes += setBytes + int64(len(runs))
	return place
}

// release lets a set go that nothing else refers to.
func (s *hookSets) release(place int32) {
	set := &s.sets[place]
	set.refs--
	if set.refs > 0 {
		return
	}
	s.bytes -= setBytes + int64(len(set.runs))
	delete(s.place, set.runs)
	*set = hookSet{}
	s.free = append(s.free, place)
}

// get returns the webhooks of a set.
func (s *hookSets) get(place int32) (uids []types.UID) {
	runs, next := []byte(s.sets[place].runs), uint64(0)
	for len(runs) > 0 {
		skipped, n := binary.Uvarint(runs)
		taken, m := binary.Uvarint(runs[n:])
		runs = runs[n+m:]
		next += skipped
		uids = append(uids, s.hooks[next:next+taken]...)
		next += taken
	}
	return uids
}

// encode is the runs of a set: how many numbers are not in it, how many are, how
// many are not, …
func (s *hookSets) encode(uids []types.UID) string {
	numbers := make([]uint64, 0, len(uids))
	for _, uid := range uids {
		n, ok := s.number[uid]
		if !ok {
			n = uint64(len(s.hooks))
			s.hooks, s.number[uid] = append(s.hooks, uid), n
			s.bytes += hookBytes
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	var runs []byte
	next := uint64(0) // the first number that is not dealt with
	for i := 0; i < len(numbers); {
		end := i + 1
		for end < len(numbers) && numbers[end] == numbers[end-1]+1 {
			end++
		}
		runs = binary.AppendUvarint(runs, numbers[i]-next)
		runs = binary.AppendUvarint(runs, uint64(end-i)) //nolint:gosec // G115: not negative
		next = numbers[end-1] + 1
		i = end
	}
	return string(runs)
}
