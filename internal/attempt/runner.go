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
	// batch is how many attempts start before others get the lock.
	batch = 64
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
	// PerWebhook is how many attempts of one webhook may be in flight (32).
	PerWebhook int
	// PerDestination is how many attempts may be in flight to one host:port (64).
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
	nudged  chan struct{} // something may start, or a timer changed
	closing chan struct{} // closed when draining begins
	drained chan struct{} // closed when draining and nothing is in flight

	mu           sync.Mutex
	started      bool
	stopped      bool
	draining     bool
	records      map[types.UID]*record
	webhooks     map[types.NamespacedName]*webhook
	namespaces   map[string]*namespace
	destinations map[string]*destination
	memory       memory
	slots        share // in flight, or finished and not settled
	inFlight     int
	queued       int
	finished     chain[record]
	ready        [bands]rotation
	turn         int64
	queuedAt     time.Duration
	paces        [classes]attemptPace // of the slow ones
	young        chain[flight]        // sent less than SlowAfter ago, oldest first
	holds        holdHeap
	lane         lane
	writes       writes
	failing      map[*namespace]struct{} // whose writes fail
	stranded     int                     // outcomes that have lost their slot to that
	tookWrite    time.Duration           // when a write last succeeded
	pause        pause
}

// New returns a Runner that starts nothing until Run is called.
func New(o Options) *Runner {
	r := &Runner{
		sender:         o.Sender,
		wakeCaller:     o.Wake,
		wakeSlow:       o.WakeSlow,
		gate:           o.Gate,
		throttle:       o.Throttle,
		perWebhook:     orDefault(o.PerWebhook, 32),
		perDestination: orDefault(o.PerDestination, 64),
		slowAfter:      orDefault(o.SlowAfter, time.Second),
		stallAfter:     orDefault(o.StallAfter, 2*time.Second),
		lostBackoff:    orDefault(o.LostBackoff, time.Second),
		slots:          newShare(orDefault(o.Unsettled, 512), 4),
		base:           time.Now(),
		nudged:         make(chan struct{}, 1),
		closing:        make(chan struct{}),
		drained:        make(chan struct{}),
		records:        map[types.UID]*record{},
		webhooks:       map[types.NamespacedName]*webhook{},
		namespaces:     map[string]*namespace{},
		destinations:   map[string]*destination{},
		memory:         memory{known: map[types.UID]*written{}},
		failing:        map[*namespace]struct{}{},
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

// nudge makes Run look whether something may start.
func (r *Runner) nudge() {
	select {
	case r.nudged <- struct{}{}:
	default:
	}
}

// Run starts attempts until the context ends; those in flight then go on, so
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
		case <-r.nudged:
		case <-timer.C:
		}
		next := r.pass(ctx)
		if next == never {
			timer.Stop()
		} else {
			timer.Reset(next)
		}
	}
}

// pass starts what may start and returns after how long to look again.
func (r *Runner) pass(ctx context.Context) time.Duration {
	ctx = context.WithoutCancel(ctx) // what is in flight is let finish
	for {
		open := r.gate()
		r.mu.Lock()
		now := r.now()
		r.turnLate(now)
		r.endHolds(now)
		r.lane.ripen(now)
		r.memory.sweep(now)
		r.pause.settled(now)
		r.probeHomes(now)
		started := 0
		if open {
			started = r.startSome(ctx, now)
		}
		next := r.alarm(now, open)
		r.mu.Unlock()
		if started < batch {
			return next
		}
	}
}

// startSome starts up to batch attempts and returns how many.
func (r *Runner) startSome(ctx context.Context, now time.Duration) int {
	n := 0
	for n < batch && n < r.allowance(now) {
		rec := r.nextLost(now)
		lost := rec != nil
		if rec == nil {
			rec = r.next(now)
		}
		if rec == nil {
			break
		}
		f := r.start(rec, now)
		if lost {
			r.lane.current, r.lane.since = f, now
		}
		go r.attempt(ctx, f)
		n++
	}
	return n
}

// next takes the next job out of its queue, nil if none may start.
func (r *Runner) next(now time.Duration) *record {
	for {
		h := r.turnOf()
		if h == nil {
			return nil
		}
		b := h.band
		r.refresh(h, now)
		if h.group == nil || !h.ready || h.band != b {
			continue // it was proven too long ago
		}
		if h.dest.slots.room(b) == 0 {
			r.unlink(h)
			h.dest.parkFirst(h, b)
			continue
		}
		rec := h.queue.first()
		rec.seat.leave()
		r.served(h.space)
		r.unlink(h) // start puts it where it belongs then
		return rec
	}
}

// turnOf returns the webhook whose turn it is, of those whose band has room: the
// namespace that waits longest, and in it the webhook that waits longest.
func (r *Runner) turnOf() *webhook {
	var turn *group
	for b := range r.ready {
		g := r.ready[b].head()
		if g == nil || r.slots.room(band(b)) == 0 {
			continue
		}
		if turn == nil || g.turn < turn.turn ||
			g.turn == turn.turn && g.hooks.first().turn < turn.hooks.first().turn {
			turn = g
		}
	}
	if turn == nil {
		return nil
	}
	return turn.hooks.first()
}

// alarm returns after how long something changes by itself.
func (r *Runner) alarm(now time.Duration, open bool) time.Duration {
	at := never
	if f := r.young.first(); f != nil {
		at = min(at, f.sent+r.slowAfter)
	}
	if len(r.holds) > 0 {
		at = min(at, r.holds[0].hold.ends)
	}
	if rec := r.lane.cooling.first(); rec != nil {
		at = min(at, rec.due)
	}
	if r.queued > 0 {
		at = min(at, r.startAlarm(now, open))
	}
	if at == never {
		return never
	}
	return max(0, at-now)
}

// startAlarm returns when a job that waits may start though nothing else happens.
func (r *Runner) startAlarm(now time.Duration, open bool) time.Duration {
	at := r.homeAlarm(now)
	if !open || r.throttle() {
		at = now + gatePoll
	}
	if r.lane.current != nil && r.lane.waits() {
		if free := r.lane.since + r.lostBackoff; free > now {
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
	if r.writes.failing && r.slots.total()+r.stranded == 0 {
		if relief := r.writes.latest + reliefAfter*r.stallAfter; relief > now {
			at = min(at, relief)
		}
	}
	return at
}

// Drain starts nothing any more and waits until nothing is in flight. Outcomes
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
	return fmt.Errorf("drain attempts, %d in flight: %w", r.inFlight, ctx.Err())
}

func (r *Runner) checkDrained() {
	if !r.draining || r.inFlight > 0 {
		return
	}
	select {
	case <-r.drained:
	default:
		close(r.drained)
	}
}
