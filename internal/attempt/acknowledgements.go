// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// keepShown is how long a number of attempts is remembered after the cache has
	// shown it or the delivery has gone: a reconcile that read the cache just
	// before may still submit that attempt again.
	keepShown = time.Minute
	// keepFinal is the same for the last attempt of a delivery, which the
	// cache may never show because it drops what is done. Watches are renewed
	// more often than that, so no cache is stale for longer.
	keepFinal = 15 * time.Minute
)

// acknowledgement is how many attempts of a delivery have been acknowledged.
type acknowledgement struct {
	uid      types.UID
	attempts int
	inCache  bool // the cache has caught up, or there is nothing to show
	expires  time.Duration
	node     node[acknowledgement]
}

// acknowledgements remembers, beyond the runner's jobs, which attempts were made:
// a caller whose cache is stale may submit them again.
type acknowledgements struct {
	known    map[types.UID]*acknowledgement
	expiring list[acknowledgement] // for keepShown, in order
	finals   list[acknowledgement] // for keepFinal, in order
}

// attempts is how many attempts of a delivery are known to have been made.
func (m *acknowledgements) attempts(uid types.UID) int {
	if w := m.known[uid]; w != nil {
		return w.attempts
	}
	return 0
}

// add remembers attempts that were written.
func (m *acknowledgements) add(uid types.UID, attempts int, final bool, now time.Duration) {
	w := m.known[uid]
	if w == nil {
		w = &acknowledgement{uid: uid}
		w.node.value = w
		m.known[uid] = w
	}
	if attempts < w.attempts {
		return
	}
	w.attempts, w.inCache = attempts, false
	w.node.detach()
	if final {
		w.expires = now + keepFinal
		m.finals.pushBack(&w.node)
	}
}

// expireSoon remembers attempts for a little longer only.
func (m *acknowledgements) expireSoon(uid types.UID, attempts int, now time.Duration) {
	if attempts > m.attempts(uid) {
		m.add(uid, attempts, false, now)
	}
	w := m.known[uid]
	if w == nil || w.inCache {
		return
	}
	w.inCache = true
	w.expires = now + keepShown
	w.node.detach()
	m.expiring.pushBack(&w.node)
}

// shown notes that the cache shows so many attempts.
func (m *acknowledgements) shown(uid types.UID, attempts int, now time.Duration) {
	if w := m.known[uid]; w != nil && w.attempts <= attempts {
		m.expireSoon(uid, attempts, now)
	}
}

// dropExpired drops what has expired.
func (m *acknowledgements) dropExpired(now time.Duration) {
	for _, c := range []*list[acknowledgement]{&m.expiring, &m.finals} {
		for w := c.first(); w != nil && w.expires <= now; w = c.first() {
			w.node.detach()
			delete(m.known, w.uid)
		}
	}
}

// state is what is known of a delivery without a job.
func (m *acknowledgements) state(uid types.UID) State {
	w := m.known[uid]
	switch {
	case w == nil:
		return State{}
	case w.inCache:
		return State{Phase: None, Attempts: w.attempts}
	}
	return State{Phase: Written, Attempts: w.attempts}
}
