// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/internal/panics"
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

// newerThan reports whether version a is newer than version b; anything is
// newer than "". Versions that cannot be compared count as newer: the last word
// wins, as without us.
func newerThan(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order > 0
}

// Index is told of every change, under the mirror's lock. Each of before and
// after is nil where there is none.
type Index[E any] func(before, after *E)

// Mirror holds an entry of type E for each object of type O. It is safe for
// concurrent use; it is empty until Start.
type Mirror[O client.Object, E any] struct {
	// Panics keeps a panic over one object to that object. Set it before Start.
	Panics *panics.Guard

	reduce func(O) E
	index  Index[E]
	now    func() time.Time

	mu      sync.RWMutex
	entries map[types.NamespacedName]*held[E]
	gone    map[types.UID]time.Time // deleted by us; the watch may not know yet
	watches map[string]*progress    // by namespace; "" watches all
}

// progress is how far one watch has come.
type progress struct {
	position string    // the newest version that it has told of
	told     time.Time // when the watch itself last said something
	heard    time.Time
	synced   bool
}

type held[E any] struct {
	identity Identity
	entry    E
}

// New returns a mirror that is empty until it runs. reduce makes an entry of an
// object, which it must not keep. index may be nil.
func New[O client.Object, E any](reduce func(O) E, index Index[E], now func() time.Time) *Mirror[O, E] {
	if index == nil {
		index = func(_, _ *E) {}
	}
	return &Mirror[O, E]{
		reduce: reduce, index: index, now: now,
		entries: map[types.NamespacedName]*held[E]{}, gone: map[types.UID]time.Time{}, watches: map[string]*progress{},
	}
}

// Get returns the entry of an object.
func (m *Mirror[O, E]) Get(key types.NamespacedName) (entry E, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if h := m.entries[key]; h != nil {
		return h.entry, true
	}
	return entry, false
}

// View runs f while nothing changes, so that f may read what index keeps.
func (m *Mirror[O, E]) View(f func()) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f()
}

// Change runs f while nobody reads, so that f may change what index keeps.
func (m *Mirror[O, E]) Change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// Synced reports whether every object that existed at the start is here.
func (m *Mirror[O, E]) Synced() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, p := range m.watches {
		if !p.synced {
			return false
		}
	}
	return len(m.watches) > 0
}

// Silence is how long ago the API server was last heard of; see Heard.
func (m *Mirror[O, E]) Silence() time.Duration {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var longest time.Duration
	for _, p := range m.watches {
		longest = max(longest, m.now().Sub(p.heard))
	}
	return longest
}

// Heard says that the API server has just answered on the connection that the
// watch uses, so that what the watch has not told has not happened. That says nothing
// of a watch that has not even sent a bookmark for a while: it is broken.
func (m *Mirror[O, E]) Heard() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.watches {
		if m.now().Sub(p.told) < brokenAfter {
			p.heard = m.now()
		}
	}
}

// Note takes an object as the API server answered to a write of this process.
// Older than what is known, it is ignored.
func (m *Mirror[O, E]) Note(object O) {
	m.mu.Lock()
	defer m.mu.Unlock()
	identity := IdentityOf(object)
	if m.entries[identity.NamespacedName] == nil && m.hasTold(identity) {
		return // of this version, and of its end
	}
	m.put(identity, object)
}

// hasTold reports whether the watch has come past a version.
func (m *Mirror[O, E]) hasTold(identity Identity) bool {
	p := m.watches[identity.Namespace]
	if p == nil {
		p = m.watches[""]
	}
	return p != nil && p.position != "" && !newerThan(identity.ResourceVersion, p.position)
}

// Forget drops an object that this process deleted, for good: what the watch
// still says of it is the past.
func (m *Mirror[O, E]) Forget(key types.NamespacedName, uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.entries[key]; known != nil && known.identity.UID == uid {
		m.remove(known)
		m.gone[uid] = m.now()
	}
}

func (m *Mirror[O, E]) put(identity Identity, object O) {
	if _, gone := m.gone[identity.UID]; gone {
		return
	}
	known := m.entries[identity.NamespacedName]
	var before *E
	if known != nil {
		if !newerThan(identity.ResourceVersion, known.identity.ResourceVersion) {
			return
		}
		before = &known.entry
	}
	fresh := &held[E]{identity: identity}
	if m.Panics.Do(panics.Object, func() { fresh.entry = m.reduce(object) }) != nil {
		if known != nil { // what was known of it is the past
			m.remove(known)
		}
		return
	}
	m.entries[identity.NamespacedName] = fresh
	m.tell(before, &fresh.entry)
}

func (m *Mirror[O, E]) remove(known *held[E]) {
	delete(m.entries, known.identity.NamespacedName)
	m.tell(&known.entry, nil)
}

// tell changes the index. What it does not get to know because of a panic, it
// does not find.
func (m *Mirror[O, E]) tell(before, after *E) {
	_ = m.Panics.Do(panics.Object, func() { m.index(before, after) })
}

// store is the mirror as one reflector of client-go fills it.
type store[O client.Object, E any] struct {
	*Mirror[O, E]

	namespace string // "": all
}

// newStore announces a watch.
func newStore[O client.Object, E any](m *Mirror[O, E], namespace string) store[O, E] {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watches[namespace] = &progress{told: m.now(), heard: m.now()}
	return store[O, E]{m, namespace}
}

// advance notes how far the watch has come.
func (s store[O, E]) advance(version string) *progress {
	p := s.watches[s.namespace]
	p.told, p.heard = s.now(), s.now()
	if p.position == "" || newerThan(version, p.position) {
		p.position = version
	}
	return p
}

var _ cache.ReflectorBookmarkStore = store[client.Object, any]{}

// Add implements cache.ReflectorStore.
func (s store[O, E]) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s store[O, E]) Update(object any) error {
	typed, ok := object.(O)
	if !ok {
		return fmt.Errorf("mirror: the watch sent a %T", object)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(IdentityOf(typed), typed)
	s.advance(typed.GetResourceVersion())
	return nil
}

// Delete implements cache.ReflectorStore.
func (s store[O, E]) Delete(object any) error {
	typed, ok := object.(O)
	if !ok {
		return fmt.Errorf("mirror: the watch sent a %T", object)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.gone, typed.GetUID())
	if known := s.entries[client.ObjectKeyFromObject(typed)]; known != nil && known.identity.UID == typed.GetUID() {
		s.remove(known)
	}
	s.advance(typed.GetResourceVersion())
	return nil
}

// Replace implements cache.ReflectorStore. What this process wrote after the
// list was made is kept.
func (s store[O, E]) Replace(objects []any, version string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := make(map[types.NamespacedName]bool, len(objects))
	for _, object := range objects {
		typed, ok := object.(O)
		if !ok {
			return fmt.Errorf("mirror: the list holds a %T", object)
		}
		listed[client.ObjectKeyFromObject(typed)] = true
		s.put(IdentityOf(typed), typed)
	}
	for key, known := range s.entries {
		if s.namespace != "" && key.Namespace != s.namespace {
			continue
		}
		if !listed[key] && !newerThan(known.identity.ResourceVersion, version) {
			s.remove(known)
		}
	}
	for uid, since := range s.gone { // deleted before this list, which says so
		if s.now().Sub(since) > goneFor {
			delete(s.gone, uid)
		}
	}
	s.advance(version).synced = true
	return nil
}

// Bookmark implements cache.ReflectorBookmarkStore.
func (s store[O, E]) Bookmark(version string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(version)
	return nil
}

// Resync implements cache.ReflectorStore.
func (s store[O, E]) Resync() error { return nil }

// brokenAfter is the silence of a watch after which it counts as broken: API servers
// send bookmarks once a minute.
const brokenAfter = 150 * time.Second

// goneFor is for how long a deleted object's versions may still arrive.
const goneFor = 10 * time.Minute
