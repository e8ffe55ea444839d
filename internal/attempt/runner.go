// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

const (
	// startBatch is how many attempts start before others get the lock.
	startBatch = 64
	// gatePoll is how often a closed gate, or a throttle, is looked at again while
	// jobs wait.
	gatePoll = 100 * time.Millisecond
	// never is a time that does not come.
	never = time.Duration(math.MaxInt64)
)

// Sender makes one attempt. An error that wraps dispatcher.ErrUnavailable says
// that nothing was handed over; with any other error the result is lost.
type Sender interface {
	Send(context.Context, dispatcher.Request) (dispatcher.Result, error)
}

// Options say how a Runner works. Values that are not positive take the default.
type Options struct {
	// Sender makes the attempts. Required.
	Sender Sender
	// Wake is called, without a lock held, when an outcome waits to be written.
	Wake func(types.NamespacedName)
	// WakeSlow is called in place of Wake for outcomes of slow webhooks, of which
	// many can end at the same moment; nil: Wake is.
	WakeSlow func(types.NamespacedName)
	// Gate, unless nil, must be true for an attempt to start, as while the lease
	// is fresh. It must be cheap, safe for concurrent use and must not call the
	// Runner.
	Gate func() bool
	// Throttle, unless nil, is true while the API server has something else to do
	// that is urgent, as to list what there is to deliver: a few attempts at a time
	// start then, beside those that hang. It must be as Gate.
	Throttle func() bool
	// Unsettled is the number of slots (default 512).
	Unsettled int
	// PerWebhook is how many attempts of one webhook may be under way (32).
	PerWebhook int
	// PerDestination is how many attempts may be under way to one host:port (64).
	PerDestination int
	// SlowAfter is how long an attempt may take before it counts as slow (1s).
	SlowAfter time.Duration
	// StallAfter is for how long writes of a namespace, or of all, may fail before
	// nothing of it starts (2s).
	StallAfter time.Duration
	// LostBackoff is how long a lost job waits before it is repeated (1s).
	LostBackoff time.Duration
}

// Runner starts attempts and keeps their outcomes. Its methods are safe for
// concurrent use and, but for Run and Drain, never wait.
type Runner struct {
	sender      Sender
	wakeCaller  func(types.NamespacedName)
	wakeSlow    func(types.NamespacedName)
	gate        func() bool
	throttle    func() bool
	perWebhook  int
	slowAfter   time.Duration
	stallAfter  time.Duration
	lostBackoff time.Duration

	perDestination int

	base    time.Time     // times inside are durations since then
	signals chan struct{} // something may start, or a timer changed
	closing chan struct{} // closed when draining begins
	drained chan struct{} // closed when draining and nothing is under way

	mu               sync.Mutex
	started          bool
	stopped          bool
	draining         bool
	jobs             map[types.UID]*trackedJob
	webhooks         map[types.NamespacedName]*webhook
	namespaces       map[string]*namespace
	destinations     map[string]*destination
	acknowledgements acknowledgements
	slots            slotQuota // under way, or finished and not acknowledged
	underWay         int
	queued           int
	finished         list[trackedJob]
	ready            [priorities]fairQueue
	sequence         int64
	queuedAt         time.Duration
	paces            [classes]startPace // of the slow ones
	recent           list[attempt]      // sent less than SlowAfter ago, oldest first
	holds            holdHeap
	lostAttempts     lostAttempts
	writes           home
	failing          map[*namespace]struct{} // whose writes fail
	stranded         int                     // outcomes that have lost their slot to that
	tookWrite        time.Duration           // when a write last succeeded
	pause            dispatcherPause
}

// New returns a Runner that starts nothing until Run is called.
func New(o Options) *Runner {
	r := &Runner{
		sender:           o.Sender,
		wakeCaller:       o.Wake,
		wakeSlow:         o.WakeSlow,
		gate:             o.Gate,
		throttle:         o.Throttle,
		perWebhook:       orDefault(o.PerWebhook, 32),
		perDestination:   orDefault(o.PerDestination, 64),
		slowAfter:        orDefault(o.SlowAfter, time.Second),
		stallAfter:       orDefault(o.StallAfter, 2*time.Second),
		lostBackoff:      orDefault(o.LostBackoff, time.Second),
		slots:            newSlotQuota(orDefault(o.Unsettled, 512), 4),
		base:             time.Now(),
		signals:          make(chan struct{}, 1),
		closing:          make(chan struct{}),
		drained:          make(chan struct{}),
		jobs:             map[types.UID]*trackedJob{},
		webhooks:         map[types.NamespacedName]*webhook{},
		namespaces:       map[string]*namespace{},
		destinations:     map[string]*destination{},
		acknowledgements: acknowledgements{known: map[types.UID]*acknowledgement{}},
		failing:          map[*namespace]struct{}{},
	}
	if r.wakeCaller == nil {
		r.wakeCaller = func(types.NamespacedName) {}
	}
	if r.wakeSlow == nil {
		r.wakeSlow = r.wakeCaller
	}
	if r.gate == nil {
		r.gate = func() bool { return true }
	}
	if r.throttle == nil {
		r.throttle = func() bool { return false }
	}
	return r
}

func orDefault[T int | time.Duration](value, standard T) T {
	if value <= 0 {
		return standard
	}
	return value
}

func (r *Runner) now() time.Duration { return time.Since(r.base) }

// signal makes Run look whether something may start.
func (r *Runner) signal() {
	select {
	case r.signals <- struct{}{}:
	default:
	}
}

// Run starts attempts until the context ends; those under way then go on, so
// call Drain next. It returns an error if it was called before.
func (r *Runner) Run(ctx context.Context) error {
	r.mu.Lock()
	again := r.started
	r.started = true
	r.mu.Unlock()
	if again {
		return errors.New("attempt runner started twice")
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			r.mu.Lock()
			r.stopped = true
			r.mu.Unlock()
			return nil
		case <-r.signals:
		case <-timer.C:
		}
		next := r.runOnce(ctx)
		if next == never {
			timer.Stop()
		} else {
			timer.Reset(next)
		}
	}
}

// runOnce starts what may start and returns after how long to look again.
func (r *Runner) runOnce(ctx context.Context) time.Duration {
	ctx = context.WithoutCancel(ctx) // what is under way is let finish
	for {
		open := r.gate()
		r.mu.Lock()
		now := r.now()
		r.markSlow(now)
		r.endHolds(now)
		r.lostAttempts.endBackoff(now)
		r.acknowledgements.dropExpired(now)
		r.pause.endIfHandedOver(now)
		r.probeHomes(now)
		started := 0
		if open {
			started = r.startDue(ctx, now)
		}
		next := r.nextChange(now, open)
		r.mu.Unlock()
		if started < startBatch {
			return next
		}
	}
}

// startDue starts up to startBatch attempts and returns how many.
func (r *Runner) startDue(ctx context.Context, now time.Duration) int {
	n := 0
	for n < startBatch && n < r.startAllowance(now) {
		job := r.nextLost(now)
		lost := job != nil
		if job == nil {
			job = r.next(now)
		}
		if job == nil {
			break
		}
		a := r.start(job, now)
		if lost {
			r.lostAttempts.current, r.lostAttempts.since = a, now
		}
		go r.makeAttempt(ctx, a)
		n++
	}
	return n
}

// next takes the next job out of its queue, nil if none may start.
func (r *Runner) next(now time.Duration) *trackedJob {
	for {
		h := r.nextWebhook()
		if h == nil {
			return nil
		}
		p := h.priority
		r.update(h, now)
		if h.group == nil || !h.ready || h.priority != p {
			continue // it was proven too long ago
		}
		if h.destination.slots.available(p) == 0 {
			r.unlink(h)
			h.destination.enqueueFirst(h, p)
			continue
		}
		job := h.queue.first()
		job.node.detach()
		r.moveNamespaceBack(h.namespace)
		r.unlink(h) // start puts it where it belongs then
		return job
	}
}

// nextWebhook returns the webhook whose turn it is, of those whose priority has
// slots left: the one that waits longest in the namespace that waits longest.
func (r *Runner) nextWebhook() *webhook {
	var turn *group
	for p := range r.ready {
		g := r.ready[p].head()
		if g == nil || r.slots.available(priority(p)) == 0 {
			continue
		}
		if turn == nil || g.sequence < turn.sequence ||
			g.sequence == turn.sequence && g.webhooks.first().sequence < turn.webhooks.first().sequence {
			turn = g
		}
	}
	if turn == nil {
		return nil
	}
	return turn.webhooks.first()
}

// nextChange returns after how long something changes by itself.
func (r *Runner) nextChange(now time.Duration, open bool) time.Duration {
	at := never
	if a := r.recent.first(); a != nil {
		at = min(at, a.sent+r.slowAfter)
	}
	if len(r.holds) > 0 {
		at = min(at, r.holds[0].hold.ends)
	}
	if job := r.lostAttempts.backingOff.first(); job != nil {
		at = min(at, job.due)
	}
	if r.queued > 0 {
		at = min(at, r.nextStart(now, open))
	}
	if at == never {
		return never
	}
	return max(0, at-now)
}

// nextStart returns when a job that waits may start though nothing else happens.
func (r *Runner) nextStart(now time.Duration, open bool) time.Duration {
	at := r.nextHomeProbe(now)
	if !open || r.throttle() {
		at = now + gatePoll
	}
	if r.lostAttempts.current != nil && r.lostAttempts.anyReady() {
		if free := r.lostAttempts.since + r.lostBackoff; free > now {
			at = min(at, free)
		}
	}
	if r.pause.length > 0 {
		if r.pause.probe == nil && r.pause.ends() > now {
			at = min(at, r.pause.ends())
		} else if r.pause.probe != nil && r.pause.probe.sent != unsent {
			at = min(at, r.pause.probe.sent+firstPause)
		}
	}
	if r.writes.failing && r.slots.taken()+r.stranded == 0 {
		if relief := r.writes.latest + reliefAfter*r.stallAfter; relief > now {
			at = min(at, relief)
		}
	}
	return at
}

// Drain starts nothing any more and waits until nothing is under way. Outcomes
// stay available, see Unsettled. It returns an error if the context ends first.
func (r *Runner) Drain(ctx context.Context) error {
	r.mu.Lock()
	if !r.draining {
		r.draining = true
		close(r.closing)
	}
	r.checkDrained()
	r.mu.Unlock()
	select {
	case <-r.drained:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Errorf("drain attempts, %d under way: %w", r.underWay, ctx.Err())
}

func (r *Runner) checkDrained() {
	if !r.draining || r.underWay > 0 {
		return
	}
	select {
	case <-r.drained:
	default:
		close(r.drained)
	}
}
