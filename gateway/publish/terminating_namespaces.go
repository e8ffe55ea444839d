// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"maps"
	"sync"
	"time"
)

// terminatingFor is for how long a namespace counts as terminating after the API server last said so: another of the
// same name may follow.
const terminatingFor = 30 * time.Second

// terminatingNamespaces are the namespaces that are being deleted. An event for one gets no first attempt: its outcome
// could not be stored. The gateway may not watch namespaces, so it learns of one from the first write that is refused.
type terminatingNamespaces struct {
	now func() time.Time

	mu    sync.Mutex
	until map[string]time.Time
}

func newTerminatingNamespaces(now func() time.Time) *terminatingNamespaces {
	return &terminatingNamespaces{now: now, until: map[string]time.Time{}}
}

// add remembers a namespace, and drops expired ones.
func (t *terminatingNamespaces) add(namespace string) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.until, func(_ string, until time.Time) bool { return !now.Before(until) })
	t.until[namespace] = now.Add(terminatingFor)
}

func (t *terminatingNamespaces) contains(namespace string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now().Before(t.until[namespace])
}
