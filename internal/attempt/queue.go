// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// record is one job the runner holds. There can be 100,000 of them, so its size
// matters.
type record struct {
	uid      types.UID
	delivery string // name; the namespace is the webhook's
	hook     *webhook
	prepare  func(context.Context) (dispatcher.Request, any, error)
	outcome  *Outcome // in phase Finished
	seat     node[record]
	queuedAt time.Duration // unique, so it is the order of submission as well
	due      time.Duration // when a lost job may be repeated; since when it has been Finished
	timeout  int32         // milliseconds
	number   int32
	phase    Phase
	charge   Class // the slot an outcome keeps until it is written
	stranded bool  // it has lost that slot: nothing can be written where it belongs
	losses   uint8
	// forgotten: the delivery was deleted while the attempt was in flight.
	forgotten bool
}

func (rec *record) name() types.NamespacedName {
	return types.NamespacedName{Namespace: rec.hook.key.Namespace, Name: rec.delivery}
}

// Submit queues a job. It returns false, and takes nothing, if the delivery is
// queued, in flight or finished already, or if an attempt of this number or a
// later one is known to have been made: then the caller's cache is stale.
func (r *Runner) Submit(job Job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.records[job.UID] != nil || r.memory.attempts(job.UID) >= job.Number {
		return false
	}
	now := r.now()
	h := r.webhook(types.NamespacedName{Namespace: job.Delivery.Namespace, Name: job.Webhook})
	r.setDestination(h, job.Destination)
	h.forgotten = false
	h.jobs++
	r.queuedAt = max(now, r.queuedAt+1)
	rec := &record{
		uid:      job.UID,
		delivery: job.Delivery.Name,
		hook:     h,
		prepare:  job.Prepare,
		queuedAt: r.queuedAt,
		timeout:  int32(min(max(job.Timeout, 0), dispatcher.MaxTimeout).Milliseconds()), //nolint:gosec // G115: bounded by MaxTimeout
		number:   int32(job.Number),                                                     //nolint:gosec // G115: from an int32
	}
	rec.seat.value = rec
	r.records[job.UID] = rec
	r.enqueue(rec)
	r.refresh(h, now)
	r.nudge()
	return true
}

// Withdraw takes a queued job out again, as when its webhook was suspended. It
// returns false if nothing of this delivery is queued.
func (r *Runner) Withdraw(uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.records[uid]
	if rec == nil || rec.phase != Queued {
		return false
	}
	r.withdraw(rec)
	return true
}

func (r *Runner) withdraw(rec *record) {
	rec.seat.leave()
	r.queued--
	h := rec.hook
	r.remove(rec)
	r.position(h)
	r.retire(h)
}

// remove takes a record that is in no chain out of the books.
func (r *Runner) remove(rec *record) {
	if rec.phase == Queued || rec.phase == InFlight {
		rec.hook.jobs--
	}
	delete(r.records, rec.uid)
}

// enqueue puts a record where its submission time says. New ones go to the end;
// one that comes back because nothing could be handed over goes to the front,
// past at most those that came back before it.
func (r *Runner) enqueue(rec *record) {
	rec.phase = Queued
	r.queued++
	queue := &rec.hook.queue
	if queue.tail == nil || queue.tail.value.queuedAt < rec.queuedAt {
		queue.pushBack(&rec.seat)
		return
	}
	next := queue.head
	for next.value.queuedAt < rec.queuedAt {
		next = next.next
	}
	queue.insert(&rec.seat, next.prev, next)
}
