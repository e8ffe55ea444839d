// SPDX-License-Identifier: Apache-2.0

package watchcache

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// reflectorStore is the cache as one reflector of client-go fills it.
type reflectorStore[O client.Object, E any] struct {
	*Cache[O, E]

	namespace string // "": all
}

var _ cache.ReflectorBookmarkStore = reflectorStore[client.Object, any]{}

// advance notes how far the watch has come.
func (s reflectorStore[O, E]) advance(version string) *progress {
	p := s.watches[s.namespace]
	p.lastEvent, p.lastContact = s.now(), s.now()
	if p.position == "" || isNewerVersion(version, p.position) {
		p.position = version
	}
	return p
}

// Add implements cache.ReflectorStore.
func (s reflectorStore[O, E]) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s reflectorStore[O, E]) Update(object any) error {
	typed, ok := object.(O)
	if !ok {
		return fmt.Errorf("watchcache: the watch sent a %T", object)
	}
	defer s.passChanges()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(IdentityOf(typed), typed)
	s.advance(typed.GetResourceVersion())
	return nil
}

// Delete implements cache.ReflectorStore.
func (s reflectorStore[O, E]) Delete(object any) error {
	typed, ok := object.(O)
	if !ok {
		return fmt.Errorf("watchcache: the watch sent a %T", object)
	}
	defer s.passChanges()
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
func (s reflectorStore[O, E]) Replace(objects []any, version string) error {
	if err := s.replace(objects, version); err != nil {
		return err
	}
	s.AwaitSubscribers()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches[s.namespace].synced = true
	return nil
}

func (s reflectorStore[O, E]) replace(objects []any, version string) error {
	defer s.passChanges()
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := make(map[types.NamespacedName]bool, len(objects))
	for _, object := range objects {
		typed, ok := object.(O)
		if !ok {
			return fmt.Errorf("watchcache: the list holds a %T", object)
		}
		listed[client.ObjectKeyFromObject(typed)] = true
		s.put(IdentityOf(typed), typed)
	}
	for key, known := range s.entries {
		if s.namespace != "" && key.Namespace != s.namespace {
			continue
		}
		if !listed[key] && !isNewerVersion(known.identity.ResourceVersion, version) {
			s.remove(known)
		}
	}
	for uid, since := range s.gone { // deleted before this list, which says so
		if s.now().Sub(since) > goneFor {
			delete(s.gone, uid)
		}
	}
	s.advance(version)
	return nil
}

// Bookmark implements cache.ReflectorBookmarkStore.
func (s reflectorStore[O, E]) Bookmark(version string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(version)
	return nil
}

// Resync implements cache.ReflectorStore.
func (s reflectorStore[O, E]) Resync() error { return nil }

// newReflectorStore announces a watch.
func newReflectorStore[O client.Object, E any](c *Cache[O, E], namespace string) reflectorStore[O, E] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches[namespace] = &progress{lastEvent: c.now(), lastContact: c.now()}
	return reflectorStore[O, E]{c, namespace}
}
