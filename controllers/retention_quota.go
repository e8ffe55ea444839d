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

// isEarly reports whether a delivery went though nobody had set its time.
func (b bound) isEarly() bool { return b != boundAge && b != boundTTL }

// Room bounds finished deliveries, in a namespace or in all; 0: without a bound.
type Room struct {
	Count int
	Bytes int64 // of payload, and objectBytes for each
}

// use is what deliveries take of a room: their number and their bytes.
type use [2]int64

func (r Room) bounds() use {
	all := use{int64(r.Count), r.Bytes}
	for i := range all {
		if all[i] == 0 {
			all[i] = math.MaxInt64
		}
	}
	return all
}

func useOf(count int, bytes int64) use {
	return use{int64(count), bytes + int64(count)*objectBytes}
}

func (u use) plus(other use) use { return use{u[0] + other[0], u[1] + other[1]} }

func (u use) exceeds(bounds use) bool { return u[0] > bounds[0] || u[1] > bounds[1] }

// tenancy is one namespace's use.
type tenancy struct {
	hooks []*retained
	all   use // that may be deleted for room
	// byHand stays whatever happens, and leaves the namespace less room: its own,
	// not that of others.
	byHand use
}

// crowded takes out what namespaces, or all of them together, have no room for:
// the oldest of whoever has most.
func (r *Retainer) crowded(out []*finishedDelivery) []*finishedDelivery {
	namespaces := r.tenancies()
	bounds := r.Limits.PerNamespace.bounds()
	for _, t := range namespaces {
		out = r.shrink(t, left(bounds, t.byHand), boundNamespace, out)
	}
	uses := make([]use, 0, len(namespaces))
	for _, t := range namespaces {
		uses = append(uses, t.all)
	}
	fair := levels(r.Limits.Total.bounds(), uses)
	for _, t := range namespaces {
		out = r.shrink(t, fair, boundTotal, out)
	}
	return out
}

func (r *Retainer) tenancies() map[string]*tenancy {
	all := map[string]*tenancy{}
	for key, hook := range r.hooks {
		t := all[key.Namespace]
		if t == nil {
			t = &tenancy{}
			all[key.Namespace] = t
		}
		t.hooks = append(t.hooks, hook)
		t.all = t.all.plus(hook.use())
		t.byHand = t.byHand.plus(useOf(hook.byHand.Len(), hook.byHandBytes))
	}
	return all
}

func (h *retained) use() use { return useOf(h.count(), h.bytes) }

// left is what remains of a room.
func left(bounds, taken use) use {
	for i := range bounds {
		bounds[i] = max(0, bounds[i]-taken[i])
	}
	return bounds
}

// shrink brings a namespace within bounds, its largest webhooks first.
func (r *Retainer) shrink(t *tenancy, bounds use, why bound, out []*finishedDelivery) []*finishedDelivery {
	if !t.all.exceeds(bounds) {
		return out
	}
	uses := make([]use, len(t.hooks))
	for i, hook := range t.hooks {
		uses[i] = hook.use()
	}
	fair := levels(bounds, uses)
	t.all = use{}
	for _, hook := range t.hooks {
		for hook.count() > 0 && hook.use().exceeds(fair) {
			out = r.doom(hook.first(), why, out)
		}
		t.all = t.all.plus(hook.use())
	}
	return out
}

// levels is what each may have at most so that all of them are within bounds:
// whoever has less keeps everything.
func levels(bounds use, uses []use) (fair use) {
	for i := range fair {
		all := make([]int64, len(uses))
		for j := range uses {
			all[j] = uses[j][i]
		}
		fair[i] = level(bounds[i], all)
	}
	return fair
}

func level(bound int64, all []int64) int64 {
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
