// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"maps"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/roundrobin"
)

// Deletes of finished deliveries take turns by namespace. A namespace whose deletes get
// no answer, as where an admission webhook hangs, rests so that it does not keep the
// workers from others, and one delete probes whether they get answers again.
const (
	// unansweredAfter is how long a failed delete took that counts as unanswered. A
	// refusal is about one delivery and comes at once.
	unansweredAfter = time.Second
	// deleteRestMin and deleteRestMax bound the rest. It doubles with each delete in a
	// row that got no answer.
	deleteRestMin = 2 * time.Second
	deleteRestMax = time.Minute
)

// deleteRest is the rest of a namespace whose deletes get no answer.
type deleteRest struct {
	failures int // in a row
	until    time.Time
}

// interleave orders expired deliveries: one of each namespace, then a second of each, and
// so on; of a resting namespace only one, another one each time.
func (r *Retainer) interleave(entries []*finishedDelivery) []*finishedDelivery {
	byNamespace := map[string][]*finishedDelivery{}
	for _, entry := range entries {
		byNamespace[entry.key.Namespace] = append(byNamespace[entry.key.Namespace], entry)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.rests, func(namespace string, _ deleteRest) bool { return byNamespace[namespace] == nil })
	for namespace, rest := range r.rests {
		all := byNamespace[namespace]
		tried := rest.failures % len(all)
		for i, entry := range all {
			if i != tried {
				r.reindexLocked(entry)
			}
		}
		byNamespace[namespace] = all[tried : tried+1]
	}
	return roundrobin.Interleave(byNamespace, len(entries))
}

// isResting reports whether deletes in a namespace wait.
func (r *Retainer) isResting(namespace string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Now().Before(r.rests[namespace].until)
}

// adjustDeleteRest notes how long a delete in a namespace took, and whether it failed.
func (r *Retainer) adjustDeleteRest(namespace string, took time.Duration, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !failed || took < unansweredAfter {
		delete(r.rests, namespace)
		return
	}
	rest := r.rests[namespace]
	now := r.Now()
	if now.Before(rest.until) {
		return // it was under way together with the delete that began the rest
	}
	rest.until = now.Add(min(deleteRestMin<<min(rest.failures, 8), deleteRestMax))
	rest.failures++
	if r.rests == nil {
		r.rests = map[string]deleteRest{}
	}
	r.rests[namespace] = rest
}
