// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"encoding/binary"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// webhookBytes and setBytes are about what a webhook, and a set without its text, takes in memory.
	webhookBytes = 192
	setBytes     = 96
)

// webhookSets holds sets of webhooks, each once, for as long as something refers to it. A set is kept as runs of the
// numbers of its webhooks. Most of those of an event have consecutive numbers, so that a set takes a few bytes even for
// many webhooks.
type webhookSets struct {
	webhooks []types.UID
	numbers  map[types.UID]uint64 // index in webhooks

	sets        []webhookSet
	indexes     map[string]int32 // index in sets, by runs
	freeIndexes []int32          // of sets without references
	bytes       int64            // about what all take in memory
}

type webhookSet struct {
	runs       string
	references int32
}

func newWebhookSets() *webhookSets {
	return &webhookSets{numbers: map[types.UID]uint64{}, indexes: map[string]int32{}}
}

// add returns the index of a set and adds a reference to it; release gives the reference back.
func (s *webhookSets) add(uids []types.UID) int32 {
	runs := s.encode(uids)
	if index, ok := s.indexes[runs]; ok {
		s.sets[index].references++
		return index
	}
	set, index := webhookSet{runs: runs, references: 1}, int32(len(s.sets)) //nolint:gosec // G115: no more than events
	if last := len(s.freeIndexes) - 1; last >= 0 {
		index, s.freeIndexes = s.freeIndexes[last], s.freeIndexes[:last]
		s.sets[index] = set
	} else {
		s.sets = append(s.sets, set)
	}
	s.indexes[runs] = index
	s.bytes += setBytes + int64(len(runs))
	return index
}

// release gives a reference back, and drops the set with the last one.
func (s *webhookSets) release(index int32) {
	set := &s.sets[index]
	set.references--
	if set.references > 0 {
		return
	}
	s.bytes -= setBytes + int64(len(set.runs))
	delete(s.indexes, set.runs)
	*set = webhookSet{}
	s.freeIndexes = append(s.freeIndexes, index)
}

// get returns the webhooks of a set.
func (s *webhookSets) get(index int32) (uids []types.UID) {
	runs, next := []byte(s.sets[index].runs), uint64(0)
	for len(runs) > 0 {
		skipped, n := binary.Uvarint(runs)
		taken, m := binary.Uvarint(runs[n:])
		runs = runs[n+m:]
		next += skipped
		uids = append(uids, s.webhooks[next:next+taken]...)
		next += taken
	}
	return uids
}

// encode returns the runs of a set: how many numbers are not in it, how many are, how many are not, …
func (s *webhookSets) encode(uids []types.UID) string {
	numbers := make([]uint64, 0, len(uids))
	for _, uid := range uids {
		number, ok := s.numbers[uid]
		if !ok {
			number = uint64(len(s.webhooks))
			s.webhooks, s.numbers[uid] = append(s.webhooks, uid), number
			s.bytes += webhookBytes
		}
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	var runs []byte
	next := uint64(0) // the first number that is not encoded
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
