// SPDX-License-Identifier: Apache-2.0

package watchcache

import (
	"sync"

	"bbmcp.quietstack.com/webhooks/internal/panics"
)

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

// Subscribe calls tell after every change of an entry, with what was there before and what is there now; nil: nothing.
// A change by this process has been told when ApplyWrite or ApplyDelete returns, unless another goroutine is telling of
// an earlier one: then that goroutine goes on with it. Subscribe before Start.
func (c *Cache[O, E]) Subscribe(tell func(before, after *E)) {
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	c.feed.subscribers = append(c.feed.subscribers, tell)
}

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

// AwaitTold waits until subscribers know of every change that the cache shows now. A
// subscriber must not call it.
func (c *Cache[O, E]) AwaitTold() {
	f := &c.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	for noted := f.told + f.taken + uint64(len(f.changes)); f.told < noted; {
		f.progress.Wait()
	}
}

// passChanges tells subscribers of the changes so far. The caller holds no lock. A panic of a subscriber is confined to
// the one change.
func (c *Cache[O, E]) passChanges() {
	for changes, subscribers := c.feed.take(true); len(changes) > 0; changes, subscribers = c.feed.take(false) {
		for _, each := range changes {
			for _, tell := range subscribers {
				_ = c.Panics.Do(panics.Object, func() { tell(each.before, each.after) })
			}
		}
	}
}
