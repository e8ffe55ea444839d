// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

const (
	retentionTick   = time.Second
	retentionReseed = time.Hour
	// The deletes of a tick are spread over it: many at a time would delay what others
	// write. One worker begins. Every retentionPace, if fewer were begun than the time
	// that has passed asks for, a quarter as many join, or one: all are to be done before
	// the next tick, whatever a delete takes on a busy API server. If they were done
	// with a fifth of the tick to spare, a quarter fewer begin the next one.
	retentionPace       = retentionTick / 10
	retentionWorkersMax = 128
	// The size of a page of finished deliveries aims at retentionPageBytes, within
	// bounds.
	retentionPageMin, retentionPageMax = 20, 500
	retentionPageBytes                 = 4 << 20
	// objectBytes is about the size of a delivery without its payload.
	objectBytes = 2 << 10
	// seedSlack is how long the cache may lag behind our writes.
	seedSlack = time.Minute
)

// RetentionLimits bound finished deliveries. The first four are for each webhook,
// which may ask for less.
type RetentionLimits struct {
	Succeeded time.Duration // age of a succeeded delivery
	Failed    time.Duration // age of a failed one
	MaxCount  int           // of succeeded ones, and of failed ones
	MaxBytes  int64         // of the payloads of both

	PerNamespace, Total Quota
}

// Retainer deletes finished deliveries: those that the gateway made once they
// exceed the limits of their webhook in age, number or bytes, oldest first, or
// those of their namespace or of all, oldest of the largest first; and any whose
// ttlAfterFinished is over. It learns of them from the writes that finished them and
// from one paged list at the start, so that in the long run it costs one request for
// each delivery. It is safe for concurrent use.
type Retainer struct {
	Client        client.Client
	Live          client.Reader
	Cached        client.Reader    // deliveries but the succeeded ones
	Sync          *ProgressiveSync // of Cached
	Observations  *Observations
	Limits        RetentionLimits
	Namespaces    []string               // in which to list; empty: all
	WriteTimeouts *writetimeout.Timeouts // how long a delete may take
	Metrics       *Metrics
	Panics        *panics.Guard
	Now           func() time.Time

	workers int // of the last tick
	deletes deleteQueue

	mu       sync.Mutex
	webhooks map[types.NamespacedName]*finishedDeliveries
	byUID    map[types.UID]*finishedDelivery
	ttl      ttlHeap
}

// Start runs retention until ctx ends; it runs on the leader only.
func (r *Retainer) Start(ctx context.Context) error {
	defer r.deletes.wait()
	tick := time.NewTicker(retentionTick)
	defer tick.Stop()
	seeded := time.Time{}
	for {
		if r.Sync.Done() && r.Now().Sub(seeded) >= retentionReseed {
			err := r.seed(ctx)
			_, early := errors.AsType[*cache.ErrCacheNotStarted](err)
			switch {
			case err == nil:
				seeded = r.Now()
			case !early:
				ctrl.LoggerFrom(ctx).Error(err, "list finished deliveries for retention; trying again")
			}
		}
		_ = r.Panics.Do(panics.Background, func() { r.deleteAll(ctx, r.expired(ctx)) })
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Add adds a finished delivery. One that was applied by hand is deleted only if it has
// a ttlAfterFinished: applying it again would send it again. A failed one
// with a retry request is not added; a succeeded one can never be retried.
func (r *Retainer) Add(delivery *v1alpha1.WebhookDelivery) {
	if delivery.Status.State == v1alpha1.DeliveryFailed && retryRequested(delivery, &delivery.Status) {
		r.unindex(delivery.UID) // it is added again once the request is handled
		return
	}
	if delivery.Status.CompletionTime == nil || r.deletes.has(delivery.UID) { // a delete finds out by itself whether it has changed
		return
	}
	entry := &finishedDelivery{
		key: client.ObjectKeyFromObject(delivery), uid: delivery.UID, resourceVersion: delivery.ResourceVersion,
		webhook: types.NamespacedName{Namespace: delivery.Namespace, Name: delivery.Spec.WebhookRef.Name},
		state:   delivery.Status.State, byHand: delivery.Labels[v1alpha1.OriginLabel] != v1alpha1.OriginGateway,
		completed: notAfter(delivery.Status.CompletionTime.Time, r.Now()), bytes: payloadBytes(delivery), lastSeen: r.Now(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ttl := delivery.Spec.TTLAfterFinished; ttl != nil {
		entry.expires = entry.completed.Add(ttl.Duration)
	}
	r.unindexLocked(delivery.UID)
	r.indexLocked(entry)
}

// ForgetWebhook drops the entries of a webhook that is gone: the garbage collector
// deletes its deliveries.
func (r *Retainer) ForgetWebhook(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hook, ok := r.webhooks[key]
	if !ok {
		return
	}
	for _, l := range []*list.List{&hook.succeeded, &hook.failed, &hook.byHand} {
		for e := l.Front(); e != nil; e = e.Next() {
			delete(r.byUID, e.Value.(*finishedDelivery).uid)
		}
	}
	delete(r.webhooks, key)
}

// deleteAll queues the entries and deletes what is queued in parallel. It returns when
// nothing more can be deleted now, when the next tick is due, or when ctx ends. Deletes
// that take longer go on.
func (r *Retainer) deleteAll(ctx context.Context, entries []*finishedDelivery) {
	due := r.deletes.add(entries)
	before, workers := r.deletes.counts()
	began, most := time.Now(), 0
	start := func(n int) {
		for range n {
			if !r.deletes.startWorker(r.Now(), func(first *finishedDelivery) { r.deleteNext(ctx, first) }) {
				return
			}
		}
	}
	pace, end := time.NewTicker(retentionPace), time.NewTimer(retentionTick)
	defer pace.Stop()
	defer end.Stop()
	start(max(r.workers-workers, 1))
	for over := false; !over; {
		_, workers := r.deletes.counts()
		if most = max(most, workers); workers == 0 {
			break
		}
		select {
		case <-r.deletes.workerEnded:
		case <-pace.C:
			begun, workers := r.deletes.counts()
			if float64(begun-before) < time.Since(began).Seconds()/retentionTick.Seconds()*float64(due) {
				start(workers/4 + 1)
			}
		case <-end.C:
			over = true
		case <-ctx.Done():
			over = true
		}
	}
	if r.workers = max(r.workers, most); time.Since(began) < retentionTick*4/5 {
		r.workers -= r.workers/4 + 1
	}
}

// deleteNext deletes one delivery after another, until no delete may begin.
func (r *Retainer) deleteNext(ctx context.Context, entry *finishedDelivery) {
	for ; entry != nil; entry = r.deletes.next(r.Now()) {
		_ = r.Panics.Do(panics.Object, func() { r.delete(ctx, entry) })
		if ctx.Err() != nil {
			return
		}
	}
}

// retentionLimits are the operator's limits, tightened by the webhook's own.
func (r *Retainer) retentionLimits(ctx context.Context, key types.NamespacedName) RetentionLimits {
	limits := r.Limits
	var webhook v1alpha1.Webhook
	if err := r.Client.Get(ctx, key, &webhook); err != nil || webhook.Spec.Retention == nil {
		return limits
	}
	own := webhook.Spec.Retention
	if own.Succeeded != nil {
		limits.Succeeded = min(limits.Succeeded, own.Succeeded.Duration)
	}
	if own.Failed != nil {
		limits.Failed = min(limits.Failed, own.Failed.Duration)
	}
	if own.MaxCount != nil {
		limits.MaxCount = min(limits.MaxCount, int(*own.MaxCount))
	}
	return limits
}

// delete deletes one delivery as it was when it finished. A delivery that has changed
// since, as by a retry request, is read anew.
func (r *Retainer) delete(ctx context.Context, entry *finishedDelivery) {
	err := r.deleteExactly(ctx, entry)
	if err == nil || denial.IsNotFound(err) {
		r.Metrics.retained(entry.state, entry.bound)
		if err == nil && entry.state == v1alpha1.DeliveryFailed && entry.bound.isEarly() {
			r.countDeletedEarly(ctx, entry)
		}
		return
	}
	if denial.IsConflict(err) {
		if err = client.IgnoreNotFound(r.reread(ctx, entry)); err == nil {
			return
		}
	}
	r.reindex(entry)
	if ctx.Err() == nil {
		ctrl.LoggerFrom(ctx).Error(err, "delete a finished delivery; trying again", "delivery", entry.key)
	}
}

// countDeletedEarly adds a failed delivery that was deleted before its time to the
// observations of its webhook.
func (r *Retainer) countDeletedEarly(ctx context.Context, entry *finishedDelivery) {
	var webhook v1alpha1.Webhook
	if r.Client.Get(ctx, entry.webhook, &webhook) == nil {
		r.Observations.CountDeletedEarly(&webhook, entry.bound)
	}
}

// deleteExactly makes one delete that was begun, and ends it.
func (r *Retainer) deleteExactly(ctx context.Context, entry *finishedDelivery) (err error) {
	began := r.Now()
	defer func() {
		now := r.Now()
		r.deletes.end(entry, err != nil && ctx.Err() == nil && now.Sub(began) >= unansweredAfter, now)
	}()
	object := &v1alpha1.WebhookDelivery{}
	object.Namespace, object.Name = entry.key.Namespace, entry.key.Name
	return r.WriteTimeouts.Do(ctx, entry.key.Namespace, func(ctx context.Context) error {
		return r.Client.Delete(ctx, object, client.Preconditions{UID: &entry.uid, ResourceVersion: &entry.resourceVersion})
	})
}

func (r *Retainer) reread(ctx context.Context, entry *finishedDelivery) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var fresh v1alpha1.WebhookDelivery
	if err := r.Live.Get(ctx, entry.key, &fresh); err != nil {
		return err
	}
	if fresh.UID == entry.uid && isFinished(fresh.Status.State) {
		stripDelivery(&fresh)
		r.Add(&fresh)
	}
	return nil
}
