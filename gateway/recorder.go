// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

const (
	// recordRest is how many times as long as its last object took a slot rests, or the
	// namespace where it hung: an API server that is busy takes longer, and what must be
	// stored goes first.
	recordRest = 19
	// recordTick is how often what was put off is looked at again.
	recordTick = time.Second
	// recordTimeout is how long one record may take, recordGrace how long those may
	// that wait when the process ends.
	recordTimeout = 5 * time.Second
	recordGrace   = 5 * time.Second
	// maxUnsettledRecords is how many records the controller may be behind with
	// before no more are made.
	maxUnsettledRecords = 500
	// recoveryInterval is the least time between two objects of a webhook's successes
	// that are made, whatever its budget, because its status says that it fails.
	recoveryInterval = time.Second
	// maxKeptBytes is the largest payload that is kept in case there will be room
	// for its record.
	maxKeptBytes = 8 << 10
)

// Records bound how many deliveries that succeed at once get an object.
type Records struct {
	// Rate is how many a second for one webhook, after Burst at once.
	Rate  float64
	Burst int
	// Total is how many a second for all webhooks of this replica together; namespaces
	// share it, see sharedBucket.
	Total float64
}

// totalBurst is how many may be recorded at once for all webhooks together.
func (r Records) totalBurst() float64 { return float64(2 * r.Burst) }

// records makes objects of successes in the background, as many as the budget
// allows, and counts the others. A record says how many there were since the
// one before: that is how the controller learns of them.
type records struct {
	limits  Records
	create  func(context.Context, *v1alpha1.WebhookDelivery) error
	behind  func(namespace string) bool // the controller, with what it has to write of the namespace
	writes  *writeBudget
	metrics *Metrics
	panics  *panics.Guard
	now     func() time.Time
	queue   *recordQueue

	mu    sync.Mutex
	total sharedBucket
	hooks map[types.UID]*hookRecords
}

// hookRecords is what is known of the records of one webhook.
type hookRecords struct {
	budget     *rate.Limiter
	unrecorded int64
	// recovered is when a success last got an object because it ended a failure.
	recovered time.Time
	// last is the latest success without an object: it gets one when there is
	// room, so that what is counted is told though no more events come.
	last *firstAttempt
	// open are records of which nobody knows whether they are stored: what they tell
	// is counted once that is known.
	open []*v1alpha1.WebhookDelivery
}

func newRecords(limits Records, create func(context.Context, *v1alpha1.WebhookDelivery) error, behind func(namespace string) bool, writes *writeBudget, metrics *Metrics, guard *panics.Guard, now func() time.Time) *records {
	return &records{
		limits: limits, create: create, behind: behind, writes: writes, metrics: metrics, panics: guard, now: now,
		queue: newRecordQueue(), hooks: map[types.UID]*hookRecords{},
	}
}

// recordPolicy is what a webhook wants recorded.
func recordPolicy(webhook *v1alpha1.Webhook) v1alpha1.RecordPolicy {
	if webhook.Spec.Retention == nil || webhook.Spec.Retention.Record == "" {
		return v1alpha1.RecordBudgeted
	}
	return webhook.Spec.Retention.Record
}

// offer takes a success that need not be stored. It never waits.
func (r *records) offer(f *firstAttempt) {
	wanted := r.endsFailure(f) || recordPolicy(f.draft.webhook) != v1alpha1.RecordNever && r.within(f)
	if !wanted || !r.put(f) {
		r.skip(f)
	}
}

// put lets a success wait for its object, and spends its bytes unless too many wait.
func (r *records) put(f *firstAttempt) bool {
	f.draft.reserved.spend()
	if !r.queue.put(f) {
		f.draft.reserved.refund()
		return false
	}
	return true
}

// endsFailure reports whether a success is news to the controller, which hears of
// it by its object only: the status still says that the endpoint takes nothing.
func (r *records) endsFailure(f *firstAttempt) bool {
	if !meta.IsStatusConditionFalse(f.draft.webhook.Status.Conditions, v1alpha1.ConditionEndpointHealthy) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h, now := r.hook(f.draft.webhook.UID), r.now()
	if now.Sub(h.recovered) < recoveryInterval {
		return false
	}
	h.recovered = now
	return true
}

// within takes one of the budget. What has to be stored goes before what may be.
func (r *records) within(f *firstAttempt) bool {
	if r.writes.checkBytes(f.draft.webhook.Namespace) != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.afford(r.hook(f.draft.webhook.UID), f.draft.webhook.Namespace, r.now())
}

func (r *records) afford(h *hookRecords, namespace string, now time.Time) bool {
	if r.queue.depth(namespace) >= max(r.limits.Burst, recordWorkers) { // the API server takes fewer than the budget allows
		return false
	}
	return h.budget.AllowN(now, 1) && r.total.take(namespace, r.limits.Total, r.limits.totalBurst(), now)
}

func (r *records) hook(uid types.UID) *hookRecords {
	h := r.hooks[uid]
	if h == nil {
		h = &hookRecords{budget: rate.NewLimiter(rate.Limit(r.limits.Rate), r.limits.Burst)}
		r.hooks[uid] = h
	}
	return h
}

// skip counts a success that gets no object, unless it may still get one.
func (r *records) skip(f *firstAttempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hook(f.draft.webhook.UID)
	if len(f.draft.payload) <= maxKeptBytes && recordPolicy(f.draft.webhook) != v1alpha1.RecordNever {
		f, h.last = h.last, f
	}
	if f != nil {
		h.unrecorded++
		r.metrics.unrecorded()
	}
}

// untold is how many successes of a webhook no object has told of yet.
func (r *records) untold(webhook types.UID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hooks[webhook]
	if h == nil {
		return 0
	}
	if h.last != nil {
		return h.unrecorded + 1
	}
	return h.unrecorded
}

// forget drops the budget of a webhook that is gone.
func (r *records) forget(webhook types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hooks, webhook)
}

// run makes the records until ctx ends, and then those that wait.
func (r *records) run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	start := func(atEnd bool) {
		for write := r.queue.next(r.now(), atEnd); write != nil; write = r.queue.next(r.now(), atEnd) {
			workers.Go(func() { r.work(ctx, write) })
		}
	}
	workers.Go(func() {
		for sleep(ctx, recordTick) {
			_ = r.panics.Do(panics.Background, r.closeAll)
		}
	})
	tick := time.NewTicker(recordTick)
	defer tick.Stop()
	for {
		start(false)
		select {
		case <-r.queue.changed:
		case <-tick.C:
			_ = r.panics.Do(panics.Background, r.catchUp)
		case <-ctx.Done():
			r.finish(start)
			return
		}
	}
}

// work makes one record, and rests.
func (r *records) work(ctx context.Context, write *recordWrite) {
	began := r.now()
	hangs := time.AfterFunc(recordHangs, func() { r.queue.hang(write) })
	_ = r.panics.Do(panics.Delivery, func() { r.record(write.flight) })
	hangs.Stop()
	took := r.now().Sub(began)
	rest := recordRest * took
	slow := took >= recordHangs
	if !slow {
		_ = sleep(ctx, rest)
	}
	r.queue.release(write, slow, r.now().Add(rest))
}

// finish makes the records that wait, for a while.
func (r *records) finish(start func(atEnd bool)) {
	end := time.NewTimer(recordGrace)
	defer end.Stop()
	for r.queue.size() > 0 {
		start(true)
		select {
		case <-r.queue.changed:
		case <-end.C:
			return
		}
	}
}

// catchUp records the latest success of webhooks whose budget has room again.
func (r *records) catchUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.queue.sweep(now)
	for _, h := range r.hooks {
		if h.last != nil && r.afford(h, h.last.draft.webhook.Namespace, now) && r.put(h.last) {
			h.last = nil
		}
	}
}

// record makes one object.
func (r *records) record(f *firstAttempt) {
	if r.behind(f.draft.webhook.Namespace) || !r.close(f.draft.webhook.UID) {
		f.draft.reserved.refund()
		r.skip(f)
		return
	}
	object := f.draft.object()
	object.Spec.FirstAttempt = new(f.made())
	told := r.tell(f.draft.webhook.UID)
	if told > 0 {
		metav1.SetMetaDataAnnotation(&object.ObjectMeta, v1alpha1.UnrecordedAnnotation, strconv.FormatInt(told, 10))
	}
	switch stored, known := r.store(object); {
	case stored:
	case !known && len(f.draft.payload) <= maxKeptBytes:
		r.mu.Lock()
		h := r.hook(f.draft.webhook.UID)
		h.open = append(h.open, object)
		r.mu.Unlock()
	default:
		if known {
			f.draft.reserved.refund()
		}
		r.mu.Lock()
		r.hook(f.draft.webhook.UID).unrecorded += told
		r.mu.Unlock()
		r.skip(f)
	}
}

// store creates an object. It reports whether it is stored, and whether that is known.
func (r *records) store(object *v1alpha1.WebhookDelivery) (stored, known bool) {
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	err := r.create(ctx, object)
	if err == nil {
		r.metrics.recorded()
		return true, true
	}
	return false, isRefused(err)
}

// close finds out about records of a webhook that may be stored, by storing them
// again under the same name; false: it is still not known.
func (r *records) close(webhook types.UID) bool {
	r.mu.Lock()
	var open []*v1alpha1.WebhookDelivery
	if h := r.hooks[webhook]; h != nil {
		open, h.open = h.open, nil
	}
	r.mu.Unlock()
	for i, object := range open {
		stored, known := r.store(object)
		r.mu.Lock()
		h := r.hook(webhook)
		if known && !stored {
			h.unrecorded += 1 + unrecordedCount(object)
			r.metrics.unrecorded()
		}
		if !known {
			h.open = append(h.open, open[i:]...)
		}
		r.mu.Unlock()
		if !known {
			return false
		}
	}
	return true
}

// closeAll does so for all webhooks, but for those of a namespace in which it still
// cannot be known: creates that hang there hold up no other.
func (r *records) closeAll() {
	r.mu.Lock()
	open := map[string][]types.UID{}
	for webhook, h := range r.hooks {
		if len(h.open) > 0 {
			open[h.open[0].Namespace] = append(open[h.open[0].Namespace], webhook)
		}
	}
	r.mu.Unlock()
	for _, webhooks := range open {
		for _, webhook := range webhooks {
			if !r.close(webhook) {
				break
			}
		}
	}
}

// tell returns how many successes have no object, and begins to count anew.
func (r *records) tell(webhook types.UID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hook(webhook)
	if h.last != nil { // a newer one is recorded
		h.unrecorded++
		r.metrics.unrecorded()
	}
	told := h.unrecorded
	h.unrecorded, h.last = 0, nil
	return told
}
