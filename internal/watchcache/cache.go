// SPDX-License-Identifier: Apache-2.0

package watchcache

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/internal/panics"
)

// brokenAfter is for how long a watch may send nothing before it counts as broken: API servers
// send bookmarks once a minute.
const brokenAfter = 150 * time.Second

// goneFor is for how long a deleted object's versions may still arrive.
const goneFor = 10 * time.Minute

const (
	// retryMin and retryMax bound the wait before a watch that broke is opened
	// again. An informer would wait up to a minute after an outage.
	retryMin = 200 * time.Millisecond
	retryMax = 5 * time.Second
)

// Identity says which object, and which version of it, an entry was made from.
type Identity struct {
	types.NamespacedName

	UID             types.UID
	ResourceVersion string
}

// IdentityOf is the identity of an object.
func IdentityOf(object client.Object) Identity {
	return Identity{
		NamespacedName:  client.ObjectKeyFromObject(object),
		UID:             object.GetUID(),
		ResourceVersion: object.GetResourceVersion(),
	}
}

// isNewerVersion reports whether version a is newer than version b; anything is
// newer than "". Versions that cannot be compared count as newer: the last one
// to arrive wins, as in an informer.
func isNewerVersion(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order > 0
}

// Index is told of every change, under the lock of the cache, and calls nothing that
// locks: others subscribe. Each of before and after is nil where there is none.
type Index[E any] func(before, after *E)

// Cache holds an entry of type E for each object of type O. It is safe for
// concurrent use; it is empty until Start.
type Cache[O client.Object, E any] struct {
	// Panics keeps a panic over one object to that object. Set it before Start.
	Panics *panics.Guard

	reduce func(O) E
	index  Index[E]
	now    func() time.Time

	mu      sync.RWMutex
	entries map[types.NamespacedName]*cached[E]
	gone    map[types.UID]time.Time // deleted by us; the watch may not know yet
	watches map[string]*progress    // by namespace; "" watches all

	feed feed[E]
}

// progress is how far one watch has come.
type progress struct {
	position    string    // the newest version that it has shown
	lastEvent   time.Time // of the watch itself
	lastContact time.Time
	synced      bool
}

type cached[E any] struct {
	identity Identity
	entry    E
}

// New returns a cache that is empty until it runs. reduce makes an entry of an
// object, which it must not keep. index may be nil.
func New[O client.Object, E any](reduce func(O) E, index Index[E], now func() time.Time) *Cache[O, E] {
	if index == nil {
		index = func(_, _ *E) {}
	}
	c := &Cache[O, E]{
		reduce: reduce, index: index, now: now,
		entries: map[types.NamespacedName]*cached[E]{}, gone: map[types.UID]time.Time{}, watches: map[string]*progress{},
	}
	c.feed.progress.L = &c.feed.mu
	return c
}

// Get returns the entry of an object.
func (c *Cache[O, E]) Get(key types.NamespacedName) (entry E, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if h := c.entries[key]; h != nil {
		return h.entry, true
	}
	return entry, false
}

// View runs f while nothing changes, so that f may read what index keeps.
func (c *Cache[O, E]) View(f func()) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	f()
}

// Change runs f while nothing else reads, so that f may change what index keeps.
func (c *Cache[O, E]) Change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// Synced reports whether every object that existed at the start is here, and subscribers
// know of it.
func (c *Cache[O, E]) Synced() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, p := range c.watches {
		if !p.synced {
			return false
		}
	}
	return len(c.watches) > 0
}

// Staleness is how long ago the API server last gave a sign of life; see ConfirmFresh.
func (c *Cache[O, E]) Staleness() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var longest time.Duration
	for _, p := range c.watches {
		longest = max(longest, c.now().Sub(p.lastContact))
	}
	return longest
}

// ConfirmFresh says that the API server has just answered on the connection that the
// watch uses, so a change that the watch has not shown has not happened. It does not count for
// a watch without even a bookmark for brokenAfter: that watch is broken.
func (c *Cache[O, E]) ConfirmFresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.watches {
		if c.now().Sub(p.lastEvent) < brokenAfter {
			p.lastContact = c.now()
		}
	}
}

// ApplyWrite takes an object as the API server answered to a write of this process.
// Older than what is known, it is ignored.
func (c *Cache[O, E]) ApplyWrite(object O) {
	defer c.passChanges()
	c.mu.Lock()
	defer c.mu.Unlock()
	identity := IdentityOf(object)
	if c.entries[identity.NamespacedName] == nil && c.hasSeen(identity) {
		return // of this version, and of its end
	}
	c.put(identity, object)
}

// hasSeen reports whether the watch has come past a version.
func (c *Cache[O, E]) hasSeen(identity Identity) bool {
	p := c.watches[identity.Namespace]
	if p == nil {
		p = c.watches[""]
	}
	return p != nil && p.position != "" && !isNewerVersion(identity.ResourceVersion, p.position)
}

// ApplyDelete drops an object that this process deleted, for good: what the watch
// still says of it is the past.
func (c *Cache[O, E]) ApplyDelete(key types.NamespacedName, uid types.UID) {
	defer c.passChanges()
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.entries[key]; known != nil && known.identity.UID == uid {
		c.remove(known)
		c.gone[uid] = c.now()
	}
}

func (c *Cache[O, E]) put(identity Identity, object O) {
	if _, gone := c.gone[identity.UID]; gone {
		return
	}
	known := c.entries[identity.NamespacedName]
	var before *E
	if known != nil {
		if !isNewerVersion(identity.ResourceVersion, known.identity.ResourceVersion) {
			return
		}
		before = &known.entry
	}
	fresh := &cached[E]{identity: identity}
	if c.Panics.Do(panics.Object, func() { fresh.entry = c.reduce(object) }) != nil {
		if known != nil { // what was known of it is the past
			c.remove(known)
		}
		return
	}
	c.entries[identity.NamespacedName] = fresh
	c.reindex(before, &fresh.entry)
}

func (c *Cache[O, E]) remove(known *cached[E]) {
	delete(c.entries, known.identity.NamespacedName)
	c.reindex(&known.entry, nil)
}

// reindex changes the index and notes the change for subscribers. An object whose change
// makes the index panic is not found through it.
func (c *Cache[O, E]) reindex(before, after *E) {
	_ = c.Panics.Do(panics.Object, func() { c.index(before, after) })
	c.feed.append(before, after)
}

// Start follows the API server in the background until ctx ends: with one
// watch, or with one for each namespace.
func (c *Cache[O, E]) Start(ctx context.Context, source Source) {
	namespaces := source.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	logger := logr.FromContextOrDiscard(ctx)
	for _, namespace := range namespaces {
		reflector := cache.NewReflectorWithOptions(newListWatch(source, namespace), source.Example, newReflectorStore(c, namespace), cache.ReflectorOptions{
			Logger:          &logger,
			Name:            fmt.Sprintf("watch cache of %T", source.Example),
			TypeDescription: fmt.Sprintf("%T", source.Example),
			Backoff:         &wait.Backoff{Duration: retryMin, Cap: retryMax, Factor: 2, Jitter: 1, Steps: 10},
		})
		go reflector.RunWithContext(ctx)
	}
}

// Subscribe calls tell after every change of an entry, with what was there before and what is there now; nil: nothing.
// A change by this process has been told when ApplyWrite or ApplyDelete returns, unless another goroutine is telling of
// an earlier one: then that goroutine goes on with it. Subscribe before Start.
func (c *Cache[O, E]) Subscribe(tell func(before, after *E)) {
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	c.feed.subscribers = append(c.feed.subscribers, tell)
}

// AwaitSubscribers waits until subscribers know of every change that the cache shows now. A
// subscriber must not call it.
func (c *Cache[O, E]) AwaitSubscribers() {
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
