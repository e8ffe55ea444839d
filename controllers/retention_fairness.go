// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"maps"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/roundrobin"
)

// Namespaces take turns where finished deliveries are deleted, and one whose deletes
// get no answer, as where an admission webhook hangs, keeps the workers from nobody
// else: it rests, and one delete finds out whether they do again.
const (
	// unansweredAfter is how long a delete took that is said to have got no answer. A
	// refusal says something about one delivery and comes at once.
	unansweredAfter = time.Second
	// deleteRestMin and deleteRestMax bound the rest. It doubles with each delete in a
	// row that got no answer.
	deleteRestMin = 2 * time.Second
	deleteRestMax = time.Minute
)

// deleteRest is that of a namespace.
type deleteRest struct {
	failures int // in a row
	until    time.Time
}

// inTurn orders what is overdue: one of each namespace, then a second of each, and so
// on; of a namespace whose deletes got no answer only one, another one each time.
func (r *Retainer) inTurn(entries []*finishedDelivery) []*finishedDelivery {
	of := map[string][]*finishedDelivery{}
	for _, entry := range entries {
		of[entry.key.Namespace] = append(of[entry.key.Namespace], entry)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.rests, func(namespace string, _ deleteRest) bool { return of[namespace] == nil })
	for namespace, rest := range r.rests {
		all := of[namespace]
		tried := rest.failures % len(all)
		for i, entry := range all {
			if i != tried {
				r.restoreLocked(entry)
			}
		}
		of[namespace] = all[tried : tried+1]
	}
	return roundrobin.Interleave(of, len(entries))
}

// isResting reports whether nothing of a namespace is to be deleted now.
func (r *Retainer) isResting(namespace string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Now().Before(r.rests[namespace].until)
}

// answered takes in how long the API server took to answer a delete in a namespace, or
// to fail.
func (r *Retainer) answered(namespace string, took time.Duration, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !failed || took < unansweredAfter {
		delete(r.rests, namespace)
		return
	}
	rest := r.rests[namespace]
	now := r.Now()
	if now.Before(rest.until) {
		return // it was under way together with the one that counts
	}
	rest.until = now.Add(min(deleteRestMin<<min(rest.failures, 8), deleteRestMax))
	rest.failures++
	if r.rests == nil {
		r.rests = map[string]deleteRest{}
	}
	r.rests[namespace] = rest
}
