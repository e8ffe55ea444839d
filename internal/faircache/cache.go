// SPDX-License-Identifier: Apache-2.0

package faircache

import (
	"container/list"
	"sync"
	"time"
)

// Cache keeps values by key, each for an owner and until it expires. Make it with New;
// it may be used by many at once.
type Cache[K comparable, V any] struct {
	limit int
	now   func() time.Time

	mu     sync.Mutex
	all    map[K]*list.Element
	owners map[string]*list.List // of *entry, used latest first
}

type entry[K comparable, V any] struct {
	owner   string
	key     K
	value   V
	expires time.Time
}

// New makes a cache of at most so many entries.
func New[K comparable, V any](limit int, now func() time.Time) *Cache[K, V] {
	return &Cache[K, V]{limit: limit, now: now, all: map[K]*list.Element{}, owners: map[string]*list.List{}}
}

// Get returns what is kept under a key and has not expired.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.all[key]
	if element == nil {
		return value, false
	}
	found := entryOf[K, V](element)
	if !c.now().Before(found.expires) {
		c.remove(element)
		return value, false
	}
	c.owners[found.owner].MoveToFront(element)
	return found.value, true
}

// Put keeps a value for a while, instead of what was kept under the key.
func (c *Cache[K, V]) Put(owner string, key K, value V, lasts time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element := c.all[key]; element != nil {
		c.remove(element)
	}
	for len(c.all) >= c.limit {
		c.remove(c.largest().Back())
	}
	owned := c.owners[owner]
	if owned == nil {
		owned = list.New()
		c.owners[owner] = owned
	}
	c.all[key] = owned.PushFront(&entry[K, V]{owner: owner, key: key, value: value, expires: c.now().Add(lasts)})
}

// Delete drops what is kept under a key.
func (c *Cache[K, V]) Delete(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element := c.all[key]; element != nil {
		c.remove(element)
	}
}

// Len is how many entries there are, expired ones among them.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

func (c *Cache[K, V]) largest() (found *list.List) {
	for _, owned := range c.owners {
		if found == nil || owned.Len() > found.Len() {
			found = owned
		}
	}
	return found
}

func (c *Cache[K, V]) remove(element *list.Element) {
	gone := entryOf[K, V](element)
	delete(c.all, gone.key)
	owned := c.owners[gone.owner]
	owned.Remove(element)
	if owned.Len() == 0 {
		delete(c.owners, gone.owner)
	}
}

func entryOf[K comparable, V any](element *list.Element) *entry[K, V] {
	return element.Value.(*entry[K, V]) //nolint:forcetypeassert // nothing else is put in
}
