// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/ratelimit"
)

const (
	// writesBurst is how many seconds' worth of writes a namespace may make at once.
	writesBurst = 10
	// writeBytesBurst is how many seconds' worth of bytes: a large payload costs the API server, and its other users,
	// at once.
	writeBytesBurst = 4
	// maxConcurrentBytes is how many bytes of one namespace are stored at a time: one large payload, or four that are
	// small, as each counts for bytesPerWrite at least. Each write that is under way delays those of other namespaces;
	// four at a time are 200 a second where one takes 20 ms.
	maxConcurrentBytes = payload.MaxBytes / 4
	// smallWriteHold is how long a small write counts among those at a time: one that takes longer waits for an
	// admission webhook, as a rule, and keeps nobody else busy.
	smallWriteHold = 100 * time.Millisecond
	// LeastWriteBytes is the minimum of BacklogLimits.WriteBytesPerNamespace: one payload.
	LeastWriteBytes = payload.MaxBytes
)

// bytesPerWrite is how many bytes of payload count as one write: a payload of 256 KiB costs the API server some
// seventeen times as much as a small one.
const bytesPerWrite = 16 << 10

// writeBudget bounds the writes of each namespace, in number and in bytes of payload. Writes are counted when they are
// made. Bytes are reserved when an event is admitted, and returned for deliveries that need no object or are refused:
// deliveries whose attempts hang would otherwise be counted when it is too late to refuse them.
type writeBudget struct {
	limits          store.BacklogLimits
	writes, bytes   *ratelimit.Keyed // by namespace
	concurrentBytes *NamespaceSemaphore
}

func newWriteBudget(limits store.BacklogLimits, now func() time.Time) *writeBudget {
	return &writeBudget{
		limits:          limits,
		writes:          ratelimit.New(limits.WritesPerNamespace, int(limits.WritesPerNamespace*writesBurst), now),
		bytes:           ratelimit.New(float64(limits.WriteBytesPerNamespace), int(limits.WriteBytesPerNamespace*writeBytesBurst), now),
		concurrentBytes: NewNamespaceSemaphore(maxConcurrentBytes, now),
	}
}

// check refuses an event whose namespace has used up its writes, before anything is reserved.
func (b *writeBudget) check(namespace string) error {
	if wait := b.writes.Wait(namespace); wait > 0 {
		return &BudgetError{fmt.Sprintf("more than %v deliveries a second of namespace %s had to be stored for a while", b.limits.WritesPerNamespace, namespace), wait}
	}
	return nil
}

// reserve takes bytes for the deliveries of an event, one reservation for each.
func (b *writeBudget) reserve(namespace string, bytes, deliveries int) ([]*byteReservation, error) {
	if deliveries == 0 {
		return nil, nil
	}
	if wait, ok := b.bytes.Take(namespace, bytes*deliveries); !ok {
		return nil, b.tooManyBytes(namespace, wait)
	}
	all := make([]*byteReservation, deliveries)
	for i := range all {
		all[i] = &byteReservation{budget: b, namespace: namespace, bytes: bytes}
	}
	return all, nil
}

// checkBytes refuses an event whose namespace has used up its bytes.
func (b *writeBudget) checkBytes(namespace string) error {
	if wait := b.bytes.Wait(namespace); wait > 0 {
		return b.tooManyBytes(namespace, wait)
	}
	return nil
}

func (b *writeBudget) tooManyBytes(namespace string, wait time.Duration) *BudgetError {
	return &BudgetError{fmt.Sprintf(
		"more than %d bytes a second of namespace %s had, or may have, to be stored for a while; send references to large content, or have the operator raise --write-bytes-per-namespace",
		b.limits.WriteBytesPerNamespace, namespace), wait}
}

// beginWrite waits until a write may be made, and counts it; the caller ends it by release. The write is made even
// beyond the budget: its event is admitted.
func (b *writeBudget) beginWrite(ctx context.Context, namespace, payload string) (release func(), err error) {
	release, err = b.concurrentBytes.Acquire(ctx, namespace, max(len(payload), bytesPerWrite))
	if err != nil {
		return nil, err
	}
	b.writes.Spend(namespace, countWrites(payload))
	if len(payload) > bytesPerWrite {
		return release, nil
	}
	end := sync.OnceFunc(release)
	hold := time.AfterFunc(smallWriteHold, end)
	return func() {
		hold.Stop()
		end()
	}, nil
}

// byteReservation is the bytes that one delivery may have to store. Make it with writeBudget.reserve; nil stands for no
// bytes. Safe for concurrent use.
type byteReservation struct {
	budget    *writeBudget
	namespace string
	bytes     int
	state     atomic.Int32
}

// States of a byteReservation.
const (
	bytesReserved int32 = iota
	bytesSpent
	bytesReturned
)

// spend keeps the bytes, as the delivery becomes an object. Bytes that were returned, for example by a first attempt
// that succeeds in the same moment, are taken again.
func (r *byteReservation) spend() {
	if r != nil && r.state.Swap(bytesSpent) == bytesReturned {
		r.budget.bytes.Spend(r.namespace, r.bytes)
	}
}

// release returns the bytes unless they are spent.
func (r *byteReservation) release() { r.giveBack(bytesReserved) }

// refund returns the bytes of an object that was not stored.
func (r *byteReservation) refund() { r.giveBack(bytesSpent) }

func (r *byteReservation) giveBack(from int32) {
	if r != nil && r.state.CompareAndSwap(from, bytesReturned) {
		r.budget.bytes.Return(r.namespace, r.bytes)
	}
}

func countWrites(payload string) int { return 1 + len(payload)/bytesPerWrite }
