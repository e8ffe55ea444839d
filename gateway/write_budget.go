// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/ratelimit"
)

const (
	// writesBurst is for how many seconds of writes at once a namespace has room.
	writesBurst = 10
	// writeBytesBurst is for how many seconds of bytes: what is large costs the API
	// server, and whoever shares it, at once.
	writeBytesBurst = 4
	// maxConcurrentBytes is what one namespace may have stored at a time: one payload of
	// the largest size.
	maxConcurrentBytes = payload.MaxBytes
	// LeastWriteBytes is the least that Limits.WriteBytesPerNamespace may be: one
	// payload.
	LeastWriteBytes = payload.MaxBytes
)

// writeBudget bounds what a replica stores of each namespace, in number and in bytes
// of payload. Writes are counted when they are made; bytes are reserved when an event
// is admitted, and given back for what needs no object after all or is refused: what
// hangs would otherwise be counted when it is too late to refuse it.
type writeBudget struct {
	limits          Limits
	writes, bytes   *ratelimit.Keyed // by namespace
	concurrentBytes *namespaceSemaphore
}

func newWriteBudget(limits Limits, now func() time.Time) *writeBudget {
	return &writeBudget{
		limits:          limits,
		writes:          ratelimit.New(limits.WritesPerNamespace, int(limits.WritesPerNamespace*writesBurst), now),
		bytes:           ratelimit.New(float64(limits.WriteBytesPerNamespace), int(limits.WriteBytesPerNamespace*writeBytesBurst), now),
		concurrentBytes: newNamespaceSemaphore(maxConcurrentBytes, now),
	}
}

// check refuses what has to wait, before anything is reserved.
func (b *writeBudget) check(namespace string) *problem {
	if wait := b.writes.Wait(namespace); wait > 0 {
		return budgetExceeded(fmt.Sprintf("more than %v deliveries a second of namespace %s had to be stored for a while", b.limits.WritesPerNamespace, namespace), wait)
	}
	return nil
}

// reserve takes bytes for so many deliveries of an event, one reservation each.
func (b *writeBudget) reserve(namespace string, bytes, deliveries int) ([]*byteReservation, *problem) {
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

// checkBytes refuses what has to wait until a namespace has bytes again.
func (b *writeBudget) checkBytes(namespace string) *problem {
	if wait := b.bytes.Wait(namespace); wait > 0 {
		return b.tooManyBytes(namespace, wait)
	}
	return nil
}

func (b *writeBudget) tooManyBytes(namespace string, wait time.Duration) *problem {
	return budgetExceeded(fmt.Sprintf(
		"more than %d bytes a second of namespace %s had, or may have, to be stored for a while; send references to large content, or have the operator raise --write-bytes-per-namespace",
		b.limits.WriteBytesPerNamespace, namespace), wait)
}

// beginWrite waits until a write may be made, whose end the caller tells by release,
// and counts it then. It is made all the same: its event is admitted.
func (b *writeBudget) beginWrite(ctx context.Context, namespace, payload string) (release func(), err error) {
	if release, err = b.concurrentBytes.acquire(ctx, namespace, len(payload)); err == nil {
		b.writes.Spend(namespace, countWrites(payload))
	}
	return release, err
}

func budgetExceeded(detail string, wait time.Duration) *problem {
	return newProblem(http.StatusTooManyRequests, reasonTooManyRequests, detail+"; repeat this later").setRetryAfter(wait)
}

// byteReservation is what one delivery may have to store. Make it with
// writeBudget.reserve; nil stands for no bytes. Safe for concurrent use.
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

// spend keeps the bytes: the delivery becomes an object. Those that were returned,
// as by a first attempt that succeeds in the same moment, are taken again.
func (r *byteReservation) spend() {
	if r != nil && r.state.Swap(bytesSpent) == bytesReturned {
		r.budget.bytes.Spend(r.namespace, r.bytes)
	}
}

// release returns the bytes if they are not spent.
func (r *byteReservation) release() { r.giveBack(bytesReserved) }

// refund returns bytes that were spent on an object that is not stored.
func (r *byteReservation) refund() { r.giveBack(bytesSpent) }

func (r *byteReservation) giveBack(from int32) {
	if r != nil && r.state.CompareAndSwap(from, bytesReturned) {
		r.budget.bytes.Return(r.namespace, r.bytes)
	}
}
