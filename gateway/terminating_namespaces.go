// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"maps"
	"net/http"
	"sync"
	"time"
)

// terminatingFor is for how long a namespace counts as terminating since the API
// server last said so: one of the same name may come after it.
const terminatingFor = 30 * time.Second

// terminatingNamespaces are those that the API server stores nothing in any more. An
// event for one gets no first attempt: what came of it could not be kept. The gateway
// may not watch namespaces, so it learns of one from the first write that is refused.
type terminatingNamespaces struct {
	now func() time.Time

	mu    sync.Mutex
	until map[string]time.Time
}

func newTerminatingNamespaces(now func() time.Time) *terminatingNamespaces {
	return &terminatingNamespaces{now: now, until: map[string]time.Time{}}
}

// add remembers a namespace, and forgets those whose time is over.
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

func namespaceTerminating() *problem {
	return newProblem(http.StatusConflict, reasonNamespaceTerminating, "the namespace is being deleted; nothing new is stored in it any more")
}
