// SPDX-License-Identifier: Apache-2.0

package multiplex

import "slices"

// queuedRequest is what a call needs to be sent, or sent again. It is kept of calls that
// may have to wait for room.
type queuedRequest struct {
	method  byte
	head    []byte
	payload []byte
}

func (r *queuedRequest) size() int { return len(r.head) + len(r.payload) }

// callQueue holds the numbers of calls that wait for room, the first to come first.
type callQueue struct{ calls []uint32 }

func (q *callQueue) push(id uint32) { q.calls = append(q.calls, id) }

func (q *callQueue) pushFirst(id uint32) { q.calls = slices.Insert(q.calls, 0, id) }

// remove reports whether the call did wait.
func (q *callQueue) remove(id uint32) bool {
	at := slices.Index(q.calls, id)
	if at < 0 {
		return false
	}
	q.calls = slices.Delete(q.calls, at, at+1)
	return true
}
