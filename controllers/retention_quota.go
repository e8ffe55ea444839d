// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"math"
	"slices"
)

// bound is why retention deletes a delivery. It is a label of a metric.
type bound string

const (
	boundAge       bound = "age"       // of the webhook or the operator
	boundTTL       bound = "ttl"       // spec.ttlAfterFinished
	boundCount     bound = "count"     // --retain-count
	boundBytes     bound = "bytes"     // --retain-bytes
	boundNamespace bound = "namespace" // --retain-count-per-namespace, --retain-bytes-per-namespace
	boundTotal     bound = "total"     // --retain-count-total, --retain-bytes-total
)

// isEarly reports whether a delivery was deleted before the end of any age set for it.
func (b bound) isEarly() bool { return b != boundAge && b != boundTTL }

// Quota bounds finished deliveries, in a namespace or in all; 0: no bound.
type Quota struct {
	Count int
	Bytes int64 // of payload, and objectBytes for each
}

// usage is what deliveries use of a quota: their number and their bytes.
type usage [2]int64

func (r Quota) bounds() usage {
	all := usage{int64(r.Count), r.Bytes}
	for i := range all {
		if all[i] == 0 {
			all[i] = math.MaxInt64
		}
	}
	return all
}

func usageOf(count int, bytes int64) usage {
	return usage{int64(count), bytes + int64(count)*objectBytes}
}

func (u usage) plus(other usage) usage { return usage{u[0] + other[0], u[1] + other[1]} }

func (u usage) exceeds(bounds usage) bool { return u[0] > bounds[0] || u[1] > bounds[1] }

// namespaceUsage is the usage of one namespace.
type namespaceUsage struct {
	webhooks  []*finishedDeliveries
	evictable usage // that may be deleted for a quota
	// byHand is never evicted and reduces what is left of the namespace's own quota, not
	// of the others'.
	byHand usage
}

// exceedingQuotas evicts what exceeds the quota of namespaces, or of all together: the
// oldest of the largest.
func (r *Retainer) exceedingQuotas(out []*finishedDelivery) []*finishedDelivery {
	namespaces := r.namespaceUsages()
	bounds := r.Limits.PerNamespace.bounds()
	for _, t := range namespaces {
		out = r.shrinkToQuota(t, remainingQuota(bounds, t.byHand), boundNamespace, out)
	}
	uses := make([]usage, 0, len(namespaces))
	for _, t := range namespaces {
		uses = append(uses, t.evictable)
	}
	fair := quotaShares(r.Limits.Total.bounds(), uses)
	for _, t := range namespaces {
		out = r.shrinkToQuota(t, fair, boundTotal, out)
	}
	return out
}

func (r *Retainer) namespaceUsages() map[string]*namespaceUsage {
	all := map[string]*namespaceUsage{}
	for key, hook := range r.webhooks {
		t := all[key.Namespace]
		if t == nil {
			t = &namespaceUsage{}
			all[key.Namespace] = t
		}
		t.webhooks = append(t.webhooks, hook)
		t.evictable = t.evictable.plus(hook.usage())
		t.byHand = t.byHand.plus(usageOf(hook.byHand.Len(), hook.byHandBytes))
	}
	return all
}

func (h *finishedDeliveries) usage() usage { return usageOf(h.count(), h.bytes) }

// remainingQuota is what is left of a quota.
func remainingQuota(bounds, taken usage) usage {
	for i := range bounds {
		bounds[i] = max(0, bounds[i]-taken[i])
	}
	return bounds
}

// shrinkToQuota brings a namespace within bounds, its largest webhooks first.
func (r *Retainer) shrinkToQuota(t *namespaceUsage, bounds usage, why bound, out []*finishedDelivery) []*finishedDelivery {
	if !t.evictable.exceeds(bounds) {
		return out
	}
	uses := make([]usage, len(t.webhooks))
	for i, hook := range t.webhooks {
		uses[i] = hook.usage()
	}
	fair := quotaShares(bounds, uses)
	t.evictable = usage{}
	for _, hook := range t.webhooks {
		for hook.count() > 0 && hook.usage().exceeds(fair) {
			out = r.evict(hook.oldest(), why, out)
		}
		t.evictable = t.evictable.plus(hook.usage())
	}
	return out
}

// quotaShares is the most that each may have so that all together are within bounds: those
// with less keep everything.
func quotaShares(bounds usage, uses []usage) (fair usage) {
	for i := range fair {
		all := make([]int64, len(uses))
		for j := range uses {
			all[j] = uses[j][i]
		}
		fair[i] = quotaShare(bounds[i], all)
	}
	return fair
}

func quotaShare(bound int64, all []int64) int64 {
	slices.Sort(all)
	for i, one := range all {
		share := bound / int64(len(all)-i)
		if one > share {
			return share
		}
		bound -= one
	}
	return math.MaxInt64
}
