// SPDX-License-Identifier: Apache-2.0

package multiplex

import (
	"encoding/binary"
	"slices"
	"time"
)

const (
	// uncountedBytes is how large the body of a request may be to count for nothing: as
	// many as may be under way hold little, and so no ordinary call waits for large
	// ones.
	uncountedBytes = 16 << 10
	// maxQueued is how long a call may wait for room. It is less than what callers
	// allow beyond the time of the call itself.
	maxQueued = 3 * time.Second
)

// byteBudget is how many bytes requests under way hold, and how many they may. Those of
// up to uncountedBytes do not count. It is not safe for concurrent use.
type byteBudget struct {
	limit int64 // 0: no bound is known
	used  int64
}

// acquire takes what a request needs. One alone is always taken.
func (r *byteBudget) acquire(size int) bool {
	if size <= uncountedBytes {
		return true
	}
	if r.limit > 0 && r.used > 0 && r.used+int64(size) > r.limit {
		return false
	}
	r.used += int64(size)
	return true
}

func (r *byteBudget) release(size int) {
	if size > uncountedBytes {
		r.used -= int64(size)
	}
}

// request is what a call needs to be sent, or sent again. It is kept of calls that
// may have to wait for room.
type request struct {
	method  byte
	head    []byte
	payload []byte
}

func (r *request) size() int { return len(r.head) + len(r.payload) }

// waitQueue holds the numbers of calls that wait for room, the first to come first.
type waitQueue struct{ calls []uint32 }

func (q *waitQueue) push(id uint32)      { q.calls = append(q.calls, id) }
func (q *waitQueue) pushFirst(id uint32) { q.calls = slices.Insert(q.calls, 0, id) }

// remove reports whether the call did wait.
func (q *waitQueue) remove(id uint32) bool {
	at := slices.Index(q.calls, id)
	if at < 0 {
		return false
	}
	q.calls = slices.Delete(q.calls, at, at+1)
	return true
}

func appendBudget(b []byte, most int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(most)) //nolint:gosec // G115: positive
}

func decodeBudget(body []byte) (most int64, ok bool) {
	if len(body) != 8 {
		return 0, false
	}
	most = int64(binary.BigEndian.Uint64(body)) //nolint:gosec // G115: checked next
	return most, most > 0
}
