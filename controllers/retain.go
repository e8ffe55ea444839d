// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"container/heap"
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/health"
)

const (
	retainTick     = time.Second
	retainReseed   = time.Hour
	retainWorkers  = 4
	retainPageSize = 500
)

// RetentionLimits bound the finished deliveries of one webhook.
type RetentionLimits struct {
	Succeeded time.Duration // age of a succeeded delivery
	Failed    time.Duration // age of a failed one
	MaxCount  int           // of both together
	MaxBytes  int64         // of their payloads
}

// Retainer deletes finished deliveries: those that the gateway made once they
// exceed the limits of their webhook in age, number or bytes, oldest first, and
// any whose ttlAfterFinished is over. It knows them from the writes that
// finished them and from one paged list at the start, so that in the long run
// it costs one request for each delivery. It is safe for concurrent use.
type Retainer struct {
	Client       client.Client
	Live         client.Reader
	Cached       client.Reader // deliveries but the succeeded ones
	Observations *Observations
	Limits       RetentionLimits
	Namespaces   []string // that we may list in; empty: all
	Metrics      *Metrics
	Now          func() time.Time

	mu    sync.Mutex
	hooks map[types.NamespacedName]*retained
	byUID map[types.UID]*finishedDelivery
	ttl   ttlHeap
}

// retained are the finished deliveries of one webhook, oldest first.
type retained struct {
	succeeded, failed list.List
	bytes             int64
}

func (h *retained) count() int { return h.succeeded.Len() + h.failed.Len() }

// finishedDelivery is what retention must know of a delivery.
type finishedDelivery struct {
	key, webhook    types.NamespacedName
	uid             types.UID
	resourceVersion string
	state           v1alpha1.DeliveryState
	at              time.Time // completion
	expires         time.Time // by ttlAfterFinished
	bytes           int64
	element         *list.Element // nil: in the heap, doomed or gone
}

// Add notes that a delivery has finished. One that was applied by hand is noted
// only if it has a ttlAfterFinished: it would be sent again if it went.
func (r *Retainer) Add(delivery *v1alpha1.WebhookDelivery) {
	ours := delivery.Labels[v1alpha1.OriginLabel] == v1alpha1.OriginGateway
	if delivery.Status.CompletionTime == nil || !ours && delivery.Spec.TTLAfterFinished == nil {
		return
	}
	entry := &finishedDelivery{
		key: keyOf(delivery), uid: delivery.UID, resourceVersion: delivery.ResourceVersion,
		webhook: types.NamespacedName{Namespace: delivery.Namespace, Name: delivery.Spec.WebhookRef.Name},
		state:   delivery.Status.State, at: delivery.Status.CompletionTime.Time, bytes: payloadBytes(delivery),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ttl := delivery.Spec.TTLAfterFinished; ttl != nil {
		entry.expires = entry.at.Add(ttl.Duration)
	}
	r.removeLocked(delivery.UID)
	r.insertLocked(entry)
}

func (r *Retainer) insertLocked(entry *finishedDelivery) {
	if r.byUID == nil {
		r.hooks = map[types.NamespacedName]*retained{}
		r.byUID = map[types.UID]*finishedDelivery{}
	}
	r.byUID[entry.uid] = entry
	if !entry.expires.IsZero() {
		heap.Push(&r.ttl, entry)
		return
	}
	hook, ok := r.hooks[entry.webhook]
	if !ok {
		hook = &retained{}
		r.hooks[entry.webhook] = hook
	}
	entry.element = insertByTime(hook.listOf(entry.state), entry)
	hook.bytes += entry.bytes
}

func (h *retained) listOf(state v1alpha1.DeliveryState) *list.List {
	if state == v1alpha1.DeliverySucceeded {
		return &h.succeeded
	}
	return &h.failed
}

// insertByTime keeps a list ordered by completion; new entries come last.
func insertByTime(l *list.List, entry *finishedDelivery) *list.Element {
	for e := l.Back(); e != nil; e = e.Prev() {
		if !e.Value.(*finishedDelivery).at.After(entry.at) {
			return l.InsertAfter(entry, e)
		}
	}
	return l.PushFront(entry)
}

func (r *Retainer) removeLocked(uid types.UID) {
	entry, ok := r.byUID[uid]
	if !ok {
		return
	}
	delete(r.byUID, uid)
	if entry.element != nil {
		hook := r.hooks[entry.webhook]
		hook.listOf(entry.state).Remove(entry.element)
		hook.bytes -= entry.bytes
		entry.element = nil
		if hook.count() == 0 {
			delete(r.hooks, entry.webhook)
		}
	}
}

// ForgetWebhook drops what is known of a webhook that is gone: the garbage
// collector deletes its deliveries.
func (r *Retainer) ForgetWebhook(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hook, ok := r.hooks[key]
	if !ok {
		return
	}
	for _, l := range []*list.List{&hook.succeeded, &hook.failed} {
		for e := l.Front(); e != nil; e = e.Next() {
			delete(r.byUID, e.Value.(*finishedDelivery).uid)
		}
	}
	delete(r.hooks, key)
}

// Start runs retention until ctx ends; it runs on the leader only.
func (r *Retainer) Start(ctx context.Context) error {
	var workers sync.WaitGroup
	work := make(chan *finishedDelivery)
	for range retainWorkers {
		workers.Go(func() {
			for entry := range work {
				r.delete(ctx, entry)
			}
		})
	}
	defer workers.Wait()
	defer close(work)
	tick := time.NewTicker(retainTick)
	defer tick.Stop()
	seeded := time.Time{}
	for {
		if r.Now().Sub(seeded) >= retainReseed {
			err := r.seed(ctx)
			_, early := errors.AsType[*cache.ErrCacheNotStarted](err)
			switch {
			case err == nil:
				seeded = r.Now()
			case !early:
				ctrl.LoggerFrom(ctx).Error(err, "list finished deliveries for retention; trying again")
			}
		}
		for _, entry := range r.overdue(ctx) {
			select {
			case work <- entry:
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// overdue takes out what exceeds the limits now.
func (r *Retainer) overdue(ctx context.Context) []*finishedDelivery {
	r.mu.Lock()
	keys := make([]types.NamespacedName, 0, len(r.hooks))
	for key := range r.hooks {
		keys = append(keys, key)
	}
	r.mu.Unlock()
	now := r.Now()
	var out []*finishedDelivery
	for _, key := range keys {
		limits := r.limitsOf(ctx, key)
		r.mu.Lock()
		if hook, ok := r.hooks[key]; ok {
			out = r.overdueOf(hook, limits, now, out)
		}
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.ttl) > 0 && !r.ttl[0].expires.After(now) {
		entry := heap.Pop(&r.ttl).(*finishedDelivery)
		if r.byUID[entry.uid] == entry { // else it was retried since
			delete(r.byUID, entry.uid)
			out = append(out, entry)
		}
	}
	return out
}

func (r *Retainer) overdueOf(hook *retained, limits RetentionLimits, now time.Time, out []*finishedDelivery) []*finishedDelivery {
	for {
		entry := oldest(hook)
		if entry == nil || hook.count() <= limits.MaxCount && hook.bytes <= limits.MaxBytes {
			break
		}
		r.removeLocked(entry.uid)
		out = append(out, entry)
	}
	for _, age := range []struct {
		list  *list.List
		limit time.Duration
	}{{&hook.succeeded, limits.Succeeded}, {&hook.failed, limits.Failed}} {
		for e := age.list.Front(); e != nil && now.Sub(e.Value.(*finishedDelivery).at) >= age.limit; e = age.list.Front() {
			entry := e.Value.(*finishedDelivery)
			r.removeLocked(entry.uid)
			out = append(out, entry)
		}
	}
	return out
}

func oldest(hook *retained) *finishedDelivery {
	succeeded, failed := hook.succeeded.Front(), hook.failed.Front()
	switch {
	case succeeded == nil && failed == nil:
		return nil
	case succeeded == nil:
		return failed.Value.(*finishedDelivery)
	case failed == nil:
		return succeeded.Value.(*finishedDelivery)
	}
	a, b := succeeded.Value.(*finishedDelivery), failed.Value.(*finishedDelivery)
	if b.at.Before(a.at) {
		return b
	}
	return a
}

// limitsOf are the operator's limits, tightened or moved by the webhook's own.
func (r *Retainer) limitsOf(ctx context.Context, key types.NamespacedName) RetentionLimits {
	limits := r.Limits
	var webhook v1alpha1.Webhook
	if err := r.Client.Get(ctx, key, &webhook); err != nil || webhook.Spec.Retention == nil {
		return limits
	}
	own := webhook.Spec.Retention
	if own.Succeeded != nil {
		limits.Succeeded = own.Succeeded.Duration
	}
	if own.Failed != nil {
		limits.Failed = own.Failed.Duration
	}
	if own.MaxCount != nil {
		limits.MaxCount = min(limits.MaxCount, int(*own.MaxCount))
	}
	return limits
}

// delete removes one delivery as it was when it finished. One that has changed
// since, as by a retry request, is looked at anew.
func (r *Retainer) delete(ctx context.Context, entry *finishedDelivery) {
	err := r.deleteExactly(ctx, entry)
	if client.IgnoreNotFound(err) == nil {
		r.Metrics.retained(entry.state)
		return
	}
	if apierrors.IsConflict(err) {
		if err = client.IgnoreNotFound(r.reconsider(ctx, entry)); err == nil {
			return
		}
	}
	r.restore(entry)
	if ctx.Err() == nil {
		ctrl.LoggerFrom(ctx).Error(err, "delete a finished delivery; trying again", "delivery", entry.key)
	}
}

// restore takes back an entry that could not be deleted.
func (r *Retainer) restore(entry *finishedDelivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.byUID[entry.uid]; !known {
		r.insertLocked(entry)
	}
}

func (r *Retainer) deleteExactly(ctx context.Context, entry *finishedDelivery) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	object := &v1alpha1.WebhookDelivery{}
	object.Namespace, object.Name = entry.key.Namespace, entry.key.Name
	return r.Client.Delete(ctx, object, client.Preconditions{UID: &entry.uid, ResourceVersion: &entry.resourceVersion})
}

func (r *Retainer) reconsider(ctx context.Context, entry *finishedDelivery) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var fresh v1alpha1.WebhookDelivery
	if err := r.Live.Get(ctx, entry.key, &fresh); err != nil {
		return err
	}
	if fresh.UID != entry.uid || !isFinished(fresh.Status.State) || retryWanted(&fresh, &fresh.Status) {
		return nil
	}
	strip(&fresh)
	r.Add(&fresh)
	return nil
}

// seed lists what had finished before this process knew: the failed ones from
// the cache, the succeeded ones from the API server, page by page.
func (r *Retainer) seed(ctx context.Context) error {
	var failed v1alpha1.WebhookDeliveryList
	if err := r.Cached.List(ctx, &failed); err != nil {
		return fmt.Errorf("list cached deliveries: %w", err)
	}
	for i := range failed.Items {
		if isFinished(failed.Items[i].Status.State) {
			r.admit(ctx, &failed.Items[i])
		}
	}
	namespaces := r.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		if err := r.seedSucceeded(ctx, namespace); err != nil {
			return err
		}
	}
	return nil
}

func (r *Retainer) seedSucceeded(ctx context.Context, namespace string) error {
	options := &client.ListOptions{Namespace: namespace, Limit: retainPageSize}
	client.MatchingFields{v1alpha1.FieldState: string(v1alpha1.DeliverySucceeded)}.ApplyToList(options)
	for {
		var page v1alpha1.WebhookDeliveryList
		if err := r.Live.List(ctx, &page, options); err != nil {
			return fmt.Errorf("list succeeded deliveries: %w", err)
		}
		for i := range page.Items {
			strip(&page.Items[i])
			r.admit(ctx, &page.Items[i])
		}
		if page.Continue == "" {
			return nil
		}
		options.Continue = page.Continue
	}
}

// admit takes one listed delivery in, and tells the health of its webhook what
// a former process may have died before writing.
func (r *Retainer) admit(ctx context.Context, delivery *v1alpha1.WebhookDelivery) {
	r.Add(delivery)
	if delivery.Spec.Test || delivery.Status.CompletionTime == nil {
		return
	}
	var webhook v1alpha1.Webhook
	key := types.NamespacedName{Namespace: delivery.Namespace, Name: delivery.Spec.WebhookRef.Name}
	if r.Client.Get(ctx, key, &webhook) != nil {
		return
	}
	at := delivery.Status.CompletionTime.Time
	switch {
	case delivery.Status.State == v1alpha1.DeliverySucceeded && at.After(timeOf(webhook.Status.LastSuccessTime).Add(time.Second)):
		r.Observations.Finished(&webhook, health.Succeeded, at, false)
	case countsAsEndpointFailure(delivery) && at.After(timeOf(webhook.Status.LastFailureTime).Add(time.Second)) &&
		webhook.Status.State != v1alpha1.WebhookDisabled:
		r.Observations.Finished(&webhook, health.Failed, at, false)
	}
}

// ttlHeap orders deliveries by when their ttlAfterFinished ends.
type ttlHeap []*finishedDelivery

func (h ttlHeap) Len() int           { return len(h) }
func (h ttlHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h ttlHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *ttlHeap) Push(x any)        { *h = append(*h, x.(*finishedDelivery)) }
func (h *ttlHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
