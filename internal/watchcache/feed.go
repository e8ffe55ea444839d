// SPDX-License-Identifier: Apache-2.0

package watchcache

import "sync"

// feed passes the changes of a cache on to its subscribers: one at a time, in the order of the changes, and under no
// lock. So a subscriber may read and change the cache, and no lock of a subscriber is ordered behind that of the cache.
type feed[E any] struct {
	mu          sync.Mutex
	subscribers []func(before, after *E)
	changes     []change[E] // not passed on yet
	passing     bool        // a goroutine passes changes on
	taken       uint64      // changes that are being passed on
	told        uint64      // changes that were passed on
	progress    sync.Cond   // told has grown; its lock is mu
}

type change[E any] struct{ before, after *E }

// append adds a change. The caller holds the lock of the cache, so that changes are in their order.
func (f *feed[E]) append(before, after *E) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.subscribers) > 0 {
		f.changes = append(f.changes, change[E]{before, after})
	}
}

// take returns the changes to pass on; none: there are none, or another goroutine passes changes on. The goroutine that
// gets some calls take until it returns none.
func (f *feed[E]) take(first bool) (changes []change[E], subscribers []func(before, after *E)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if first && f.passing {
		return nil, nil
	}
	f.told += f.taken
	f.progress.Broadcast()
	changes, f.changes = f.changes, nil
	f.taken = uint64(len(changes))
	f.passing = len(changes) > 0
	return changes, f.subscribers
}
