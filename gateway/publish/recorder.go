// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/settings"
)

const (
	// recordThrottleFactor is how many times as long as its last create took a recorder slot stays empty, or a
	// namespace whose create hung is left out: a busy API server takes longer, and deliveries that must be stored go
	// first.
	recordThrottleFactor = 19
	// recorderTick is how often deferred records are looked at again.
	recorderTick = time.Second
	// recordTimeout bounds one record, recorderGrace all records that wait when the process ends.
	recordTimeout = 5 * time.Second
	recorderGrace = 5 * time.Second
	// recoveryInterval is the least time between two successes of a webhook that are recorded, whatever its budget,
	// because its status says that the endpoint fails.
	recoveryInterval = time.Second
	// maxKeptBytes is the largest payload that is kept for a record that the budget allows later.
	maxKeptBytes = 8 << 10
)

// RecordBudget bound how many deliveries that succeed at once are recorded.
type RecordBudget struct {
	// Rate is how many a second for one webhook, after Burst at once.
	Rate  float64
	Burst int
	// Total is how many a second for all webhooks of this replica together; namespaces share it, see
	// sharedRecordBudget.
	Total float64
}

// totalBurst is how many may be recorded at once for all webhooks together.
func (r RecordBudget) totalBurst() float64 { return float64(2 * r.Burst) }

// recorder writes objects of immediate successes in the background, as many as the budget allows, and counts the
// unrecorded ones. A record carries the number of unrecorded successes since the record before it: so the controller
// learns of them.
type recorder struct {
	limits   RecordBudget
	create   func(context.Context, *v1alpha1.WebhookDelivery) error
	isBehind func(namespace string) bool // the controller has too many records of the namespace to acknowledge
	writes   *writeBudget
	metrics  *Metrics
	panics   *panics.Guard
	now      func() time.Time
	queue    *recordQueue

	mu          sync.Mutex
	totalBudget sharedRecordBudget
	webhooks    map[types.UID]*webhookRecords
}

// webhookRecords is the state of the records of one webhook.
type webhookRecords struct {
	budget     *rate.Limiter
	unrecorded int64
	// lastRecovery is when a success was last recorded because it ended a failure.
	lastRecovery time.Time
	// latest is the latest success, while it is unrecorded: it is recorded when the budget allows, so that the count
	// reaches the controller even if no more events come.
	latest *firstAttempt
	// unconfirmed are records that may or may not be stored: their numbers count once that is known.
	unconfirmed []*v1alpha1.WebhookDelivery
}

func newRecorder(limits RecordBudget, create func(context.Context, *v1alpha1.WebhookDelivery) error, behind func(namespace string) bool, writes *writeBudget, metrics *Metrics, guard *panics.Guard, now func() time.Time) *recorder {
	return &recorder{
		limits: limits, create: create, isBehind: behind, writes: writes, metrics: metrics, panics: guard, now: now,
		queue: newRecordQueue(), webhooks: map[types.UID]*webhookRecords{},
	}
}

// offer takes a success that need not be stored. It never waits.
func (r *recorder) offer(a *firstAttempt) {
	wanted := r.endsFailure(a) || settings.RecordPolicy(a.draft.webhook) != v1alpha1.RecordNever && r.withinBudget(a)
	if !wanted || !r.enqueue(a) {
		r.countUnrecorded(a)
	}
}

// enqueue queues a success for its record and spends its bytes; false: too many wait.
func (r *recorder) enqueue(a *firstAttempt) bool {
	a.draft.reservation.spend()
	if !r.queue.enqueue(a) {
		a.draft.reservation.refund()
		return false
	}
	return true
}

// endsFailure reports whether a success ends a failure in the eyes of the controller, which learns of it only by an
// object: the status still says that the endpoint fails.
func (r *recorder) endsFailure(a *firstAttempt) bool {
	if !meta.IsStatusConditionFalse(a.draft.webhook.Status.Conditions, v1alpha1.ConditionEndpointHealthy) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w, now := r.webhook(a.draft.webhook.UID), r.now()
	if now.Sub(w.lastRecovery) < recoveryInterval {
		return false
	}
	w.lastRecovery = now
	return true
}

// withinBudget takes one record from the budget. Deliveries that must be stored go first.
func (r *recorder) withinBudget(a *firstAttempt) bool {
	if r.writes.checkBytes(a.draft.webhook.Namespace) != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.takeBudget(r.webhook(a.draft.webhook.UID), a.draft.webhook.Namespace, r.now())
}

func (r *recorder) takeBudget(w *webhookRecords, namespace string, now time.Time) bool {
	if r.queue.depth(namespace) >= max(r.limits.Burst, recordWorkers) { // the API server takes fewer than the budget allows
		return false
	}
	return w.budget.AllowN(now, 1) && r.totalBudget.take(namespace, r.limits.Total, r.limits.totalBurst(), now)
}

func (r *recorder) webhook(uid types.UID) *webhookRecords {
	w := r.webhooks[uid]
	if w == nil {
		w = &webhookRecords{budget: rate.NewLimiter(rate.Limit(r.limits.Rate), r.limits.Burst)}
		r.webhooks[uid] = w
	}
	return w
}

// countUnrecorded counts a success that is not recorded, or keeps it as the latest, which still may be.
func (r *recorder) countUnrecorded(a *firstAttempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.webhook(a.draft.webhook.UID)
	if len(a.draft.payload) <= maxKeptBytes && settings.RecordPolicy(a.draft.webhook) != v1alpha1.RecordNever {
		a, w.latest = w.latest, a
	}
	if a != nil {
		w.unrecorded++
		r.metrics.unrecorded()
	}
}

// countUnreported is how many successes of a webhook no record has carried yet.
func (r *recorder) countUnreported(webhook types.UID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.webhooks[webhook]
	if w == nil {
		return 0
	}
	if w.latest != nil {
		return w.unrecorded + 1
	}
	return w.unrecorded
}

// forgetWebhook drops the state of a deleted webhook.
func (r *recorder) forgetWebhook(webhook types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.webhooks, webhook)
}

// run makes the records until ctx ends, and then those that wait.
func (r *recorder) run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	start := func(atEnd bool) {
		for write := r.queue.dequeue(r.now(), atEnd); write != nil; write = r.queue.dequeue(r.now(), atEnd) {
			workers.Go(func() { r.runWrite(ctx, write) })
		}
	}
	workers.Go(func() {
		for sleepContext(ctx, recorderTick) {
			_ = r.panics.Do(panics.Background, r.confirmAll)
		}
	})
	tick := time.NewTicker(recorderTick)
	defer tick.Stop()
	for {
		start(false)
		select {
		case <-r.queue.changed:
		case <-tick.C:
			_ = r.panics.Do(panics.Background, r.recordLatest)
		case <-ctx.Done():
			r.drain(start)
			return
		}
	}
}

// runWrite makes one record, and then throttles: its slot, or its namespace if the create hung.
func (r *recorder) runWrite(ctx context.Context, write *recordWrite) {
	began := r.now()
	hangs := time.AfterFunc(recordHangTime, func() { r.queue.markHanging(write) })
	_ = r.panics.Do(panics.Delivery, func() { r.record(write.attempt) })
	hangs.Stop()
	took := r.now().Sub(began)
	rest := recordThrottleFactor * took
	slow := took >= recordHangTime
	if !slow {
		_ = sleepContext(ctx, rest)
	}
	r.queue.release(write, slow, r.now().Add(rest))
}

// drain makes the records that wait, for recorderGrace.
func (r *recorder) drain(start func(atEnd bool)) {
	end := time.NewTimer(recorderGrace)
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

// recordLatest records the latest success of webhooks whose budget allows it again.
func (r *recorder) recordLatest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.queue.sweep(now)
	for _, w := range r.webhooks {
		if w.latest != nil && r.takeBudget(w, w.latest.draft.webhook.Namespace, now) && r.enqueue(w.latest) {
			w.latest = nil
		}
	}
}

// record makes one record.
func (r *recorder) record(a *firstAttempt) {
	if r.isBehind(a.draft.webhook.Namespace) || !r.confirm(a.draft.webhook.UID) {
		a.draft.reservation.refund()
		r.countUnrecorded(a)
		return
	}
	object := a.draft.object()
	object.Spec.FirstAttempt = new(a.logEntry())
	unrecorded := r.takeUnrecorded(a.draft.webhook.UID)
	if unrecorded > 0 {
		metav1.SetMetaDataAnnotation(&object.ObjectMeta, v1alpha1.UnrecordedAnnotation, strconv.FormatInt(unrecorded, 10))
	}
	switch stored, known := r.storeRecord(object); {
	case stored:
	case !known && len(a.draft.payload) <= maxKeptBytes:
		r.mu.Lock()
		w := r.webhook(a.draft.webhook.UID)
		w.unconfirmed = append(w.unconfirmed, object)
		r.mu.Unlock()
	default:
		if known {
			a.draft.reservation.refund()
		}
		r.mu.Lock()
		r.webhook(a.draft.webhook.UID).unrecorded += unrecorded
		r.mu.Unlock()
		r.countUnrecorded(a)
	}
}

// storeRecord creates an object. It reports whether it is stored, and whether that is known.
func (r *recorder) storeRecord(object *v1alpha1.WebhookDelivery) (stored, known bool) {
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	err := r.create(ctx, object)
	if err == nil {
		r.metrics.recorded()
		return true, true
	}
	return false, isKnownUnstored(err)
}

// confirm finds out whether unconfirmed records of a webhook are stored, by creating them again under the same name;
// false: it is still unknown.
func (r *recorder) confirm(webhook types.UID) bool {
	r.mu.Lock()
	var open []*v1alpha1.WebhookDelivery
	if w := r.webhooks[webhook]; w != nil {
		open, w.unconfirmed = w.unconfirmed, nil
	}
	r.mu.Unlock()
	for i, object := range open {
		stored, known := r.storeRecord(object)
		r.mu.Lock()
		w := r.webhook(webhook)
		if known && !stored {
			w.unrecorded += 1 + store.UnrecordedCount(object)
			r.metrics.unrecorded()
		}
		if !known {
			w.unconfirmed = append(w.unconfirmed, open[i:]...)
		}
		r.mu.Unlock()
		if !known {
			return false
		}
	}
	return true
}

// confirmAll confirms the records of all webhooks. It leaves a namespace at the first record that stays unknown:
// creates that hang there must not delay other namespaces.
func (r *recorder) confirmAll() {
	r.mu.Lock()
	open := map[string][]types.UID{}
	for webhook, w := range r.webhooks {
		if len(w.unconfirmed) > 0 {
			open[w.unconfirmed[0].Namespace] = append(open[w.unconfirmed[0].Namespace], webhook)
		}
	}
	r.mu.Unlock()
	for _, webhooks := range open {
		for _, webhook := range webhooks {
			if !r.confirm(webhook) {
				break
			}
		}
	}
}

// takeUnrecorded returns the number of unrecorded successes and resets it.
func (r *recorder) takeUnrecorded(webhook types.UID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.webhook(webhook)
	if w.latest != nil { // a newer one is recorded
		w.unrecorded++
		r.metrics.unrecorded()
	}
	unrecorded := w.unrecorded
	w.unrecorded, w.latest = 0, nil
	return unrecorded
}

func (r *recorder) knownWebhooks() []types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.webhooks))
}
