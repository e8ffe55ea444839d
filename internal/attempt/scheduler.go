// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"math"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// scheduler decides which job starts next. It has no goroutine, no clock and no
// lock: the time, since the start of the runner, is an argument.
type scheduler struct {
	registry
	queues
	homes
	judgement

	lostBackoff time.Duration
	holds       holdHeap
	lost        lostAttempts
	queued      int           // jobs
	queuedAt    time.Duration // of the latest job
	stranded    int           // outcomes without a slot: their home takes no writes
}

func newScheduler(o Options, base time.Time) scheduler {
	shares := endpoint.NewShares(optionOrDefault(o.Unsettled, 512)).WithBusy(4)
	return scheduler{
		judgement: judgement{base, endpoint.Rules{
			Ramp: true, PerWebhook: optionOrDefault(o.PerWebhook, 32), SlowAfter: optionOrDefault(o.SlowAfter, time.Second),
		}},
		lostBackoff: optionOrDefault(o.LostBackoff, time.Second),
		registry:    newRegistry(optionOrDefault(o.PerDestination, 64)),
		queues:      queues{slots: endpoint.NewQuota(&shares)},
		homes:       homes{failing: map[*namespace]struct{}{}, stallAfter: optionOrDefault(o.StallAfter, 2*time.Second)},
	}
}

// submit queues a job.
func (s *scheduler) submit(job Job, now time.Duration) *trackedJob {
	h := s.webhook(types.NamespacedName{Namespace: job.Delivery.Namespace, Name: job.Webhook})
	if h.destination == nil || h.destination.address != job.Destination {
		s.redirectWebhook(h, job.Destination)
	}
	h.forgotten = false
	h.jobCount++
	s.queuedAt = max(now, s.queuedAt+1)
	tracked := &trackedJob{
		jobSpec: jobSpec{
			uid:      job.UID,
			delivery: job.Delivery.Name,
			webhook:  h,
			prepare:  job.Prepare,
			timeout:  int32(min(max(job.Timeout, 0), dispatcher.MaxTimeout).Milliseconds()), //nolint:gosec // G115: bounded by MaxTimeout
			number:   int32(job.Number),                                                     //nolint:gosec // G115: from an int32
		},
		queuedAt: s.queuedAt,
	}
	tracked.node.value = tracked
	s.enqueue(tracked)
	s.updateWebhook(h, now)
	return tracked
}

// enqueue puts a job where its submission time says. New ones go to the end;
// one that comes back because nothing could be handed over goes to the front,
// past at most those that came back before it.
func (s *scheduler) enqueue(job *trackedJob) {
	job.phase = Queued
	s.queued++
	queue := &job.webhook.queue
	if queue.tail == nil || queue.tail.value.queuedAt < job.queuedAt {
		queue.pushBack(&job.node)
		return
	}
	next := queue.head
	for next.value.queuedAt < job.queuedAt {
		next = next.next
	}
	queue.insert(&job.node, next.prev, next)
}

// withdraw takes a queued job out again.
func (s *scheduler) withdraw(job *trackedJob, now time.Duration) {
	h := job.webhook
	job.node.detach()
	s.queued--
	h.jobCount--
	s.scheduleWebhook(h, now)
	s.retireWebhook(h)
}

// advance applies what time alone changes, but for the attempts under way.
func (s *scheduler) advance(now time.Duration) {
	for len(s.holds) > 0 && s.holds[0].hold.ends <= now {
		h := s.holds[0]
		s.endWebhookHold(h)
		s.scheduleWebhook(h, now)
	}
	s.lost.endBackoff(now)
	for space := range s.failing {
		if space.writeWaiters.n > 0 && s.mayProbe(space, now) {
			s.admitWriteWaiters(space, now) // all but the first wait again
		}
	}
}

// next takes the next job out of its queue, nil if none may start.
func (s *scheduler) next(now time.Duration) *trackedJob {
	for {
		h := s.nextWebhook()
		if h == nil {
			return nil
		}
		p := h.priority
		s.updateWebhook(h, now)
		if h.group == nil || !h.ready || h.priority != p {
			continue // it has been healthy too long ago
		}
		if h.destination.slots.Available(p) == 0 {
			s.unlink(h)
			h.destination.enqueueFirst(h, p)
			continue
		}
		job := h.queue.first()
		job.node.detach()
		s.moveNamespaceBack(h.namespace)
		s.unlink(h) // start puts it where it belongs then
		return job
	}
}

// nextLost takes the next lost job that may start now, nil if there is none. Jobs
// of healthy webhooks come first. A job whose webhook or destination has no room
// waits until an attempt there ends.
func (s *scheduler) nextLost(now time.Duration) *trackedJob {
	l := &s.lost
	if !l.anyReady() || (l.current != nil && now < l.since+s.lostBackoff) {
		return nil
	}
	for state := range l.ready {
		ready := &l.ready[state]
		for job := ready.first(); job != nil; job = ready.first() {
			h := job.webhook
			s.updateWebhook(h, now)
			p := h.nextPriority()
			if s.slots.Available(p) == 0 {
				break
			}
			job.node.detach()
			if !s.mayStartWebhook(h, now) {
				h.lost.pushBack(&job.node)
				continue
			}
			if h.destination.slots.Available(p) == 0 {
				h.destination.lost.pushBack(&job.node)
				continue
			}
			return job
		}
	}
	return nil
}

// start gives a job, which has left its queue, its slots.
func (s *scheduler) start(job *trackedJob, now time.Duration) *attempt {
	h := job.webhook
	a := &attempt{job: job, destination: h.destination, state: h.state, tracked: h.tracker.Start(), sent: unsent}
	a.webhookNode.value, a.ageNode.value = a, a
	job.phase = UnderWay
	s.queued--
	s.slots.Take(a.state)
	a.destination.slots.Take(a.state)
	h.attempts.pushBack(&a.webhookNode)
	h.namespace.unsettled++
	a.probe = s.markProbe(h.namespace, now)
	s.scheduleWebhook(h, now)
	s.admitWaiting(h.destination)
	return a
}

// end takes an attempt out of those under way. Its slot stays taken: it is the
// job's until releaseSlot.
func (s *scheduler) end(a *attempt) {
	h := a.job.webhook
	a.webhookNode.detach()
	a.destination.slots.Return(a.state)
	a.job.slotState = a.state
	h.tracker.End(a.tracked)
	if s.lost.current == a {
		s.lost.current = nil
	}
	s.lost.requeue(&h.lost)
	s.lost.requeue(&a.destination.lost)
	s.admitWaiting(a.destination)
	s.dropDestination(a.destination)
}

// releaseSlot gives back the slot of an attempt that has ended, unless it was stranded.
func (s *scheduler) releaseSlot(job *trackedJob) {
	job.webhook.namespace.unsettled--
	if job.stranded {
		job.stranded = false
		s.stranded--
		return
	}
	s.slots.Return(job.slotState)
}

// strand takes its slot from an outcome whose home takes no writes.
func (s *scheduler) strand(job *trackedJob) {
	s.slots.Return(job.slotState)
	job.stranded = true
	s.stranded++
}

// returnJob queues the job of an attempt that was not made where it came from.
func (s *scheduler) returnJob(job *trackedJob) {
	if job.losses == 0 {
		s.enqueue(job)
		return
	}
	job.phase = Queued
	s.queued++
	s.lost.ready[job.webhook.state].pushFront(&job.node)
}

// repeatLater queues the job of an attempt whose result was lost.
func (s *scheduler) repeatLater(job *trackedJob, now time.Duration) {
	job.phase = Queued
	s.queued++
	job.due = now + s.lostBackoff
	s.lost.backingOff.pushBack(&job.node)
}
