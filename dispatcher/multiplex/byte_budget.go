// SPDX-License-Identifier: Apache-2.0

package multiplex

import (
	"encoding/binary"
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

func appendByteBudget(b []byte, most int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(most)) //nolint:gosec // G115: positive
}

func decodeByteBudget(body []byte) (most int64, ok bool) {
	if len(body) != 8 {
		return 0, false
	}
	most = int64(binary.BigEndian.Uint64(body)) //nolint:gosec // G115: checked next
	return most, most > 0
}
