// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"container/heap"
	"container/list"
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// expired removes and returns the deliveries that exceed the limits now.
func (r *Retainer) expired(ctx context.Context) []*finishedDelivery {
	now := r.Now()
	var out []*finishedDelivery
	for _, key := range r.evictableWebhooks() {
		limits := r.retentionLimits(ctx, key)
		r.mu.Lock()
		if hook, ok := r.webhooks[key]; ok {
			out = r.expiredOf(hook, limits, now, out)
		}
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.ttl) > 0 && !r.ttl[0].expires.After(now) {
		entry := heap.Pop(&r.ttl).(*finishedDelivery)
		if r.byUID[entry.uid] == entry { // else it was retried since
			out = r.evict(entry, boundTTL, out)
		}
	}
	return r.exceedingQuotas(out)
}

// evictableWebhooks are the webhooks with deliveries that the gateway created.
func (r *Retainer) evictableWebhooks() []types.NamespacedName {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []types.NamespacedName
	for key, hook := range r.webhooks {
		if hook.count() > 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

// expiredOf evicts what is too old or too much for one webhook. Failed deliveries
// have a count of their own, and are evicted for bytes after all succeeded ones: a
// person may have to look at them.
func (r *Retainer) expiredOf(hook *finishedDeliveries, limits RetentionLimits, now time.Time, out []*finishedDelivery) []*finishedDelivery {
	for _, each := range []struct {
		list *list.List
		age  time.Duration
	}{{&hook.succeeded, limits.Succeeded}, {&hook.failed, limits.Failed}} {
		for e := each.list.Front(); e != nil && now.Sub(e.Value.(*finishedDelivery).completed) >= each.age; e = each.list.Front() {
			out = r.evict(e.Value.(*finishedDelivery), boundAge, out)
		}
		for each.list.Len() > limits.MaxCount {
			out = r.evict(each.list.Front().Value.(*finishedDelivery), boundCount, out)
		}
	}
	for hook.count() > 0 && hook.bytes > limits.MaxBytes {
		out = r.evict(hook.oldest(), boundBytes, out)
	}
	return out
}

// evict removes one delivery from the index and adds it to those to be deleted.
func (r *Retainer) evict(entry *finishedDelivery, why bound, out []*finishedDelivery) []*finishedDelivery {
	r.unindexLocked(entry.uid)
	entry.bound = why
	return append(out, entry)
}
