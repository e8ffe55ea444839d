// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// NamespaceSemaphore bounds the bytes that each namespace moves to or from the API server at a time: large payloads go
// one after the other, small ones hardly ever wait. A large one holds its bytes for twice as long as the API server
// took, to leave it time for other namespaces.
type NamespaceSemaphore struct {
	size int64 // bytes
	now  func() time.Time

	mu         sync.Mutex
	namespaces map[string]*namespaceBytes
}

// namespaceBytes is the semaphore of one namespace.
type namespaceBytes struct {
	bytes *semaphore.Weighted
	users int // hold bytes, or wait for them
}

// NewNamespaceSemaphore returns a semaphore of so many bytes for each namespace.
func NewNamespaceSemaphore(size int64, now func() time.Time) *NamespaceSemaphore {
	return &NamespaceSemaphore{size: size, now: now, namespaces: map[string]*namespaceBytes{}}
}

// Acquire waits for so many bytes, at most the size of the semaphore; the caller gives them back by release.
func (n *NamespaceSemaphore) Acquire(ctx context.Context, namespace string, bytes int) (release func(), err error) {
	weight := min(int64(bytes), n.size)
	own := n.join(namespace)
	if err := own.bytes.Acquire(ctx, weight); err != nil {
		n.leave(namespace, own)
		return nil, err
	}
	began := n.now()
	return func() {
		rest := time.Duration(0)
		if weight > bytesPerWrite {
			rest = min(n.now().Sub(began), maxThrottleWait)
		}
		callThrottleAfter(rest, func() {
			own.bytes.Release(weight)
			n.leave(namespace, own)
		})
	}, nil
}

func (n *NamespaceSemaphore) join(namespace string) *namespaceBytes {
	n.mu.Lock()
	defer n.mu.Unlock()
	own := n.namespaces[namespace]
	if own == nil {
		own = &namespaceBytes{bytes: semaphore.NewWeighted(n.size)}
		n.namespaces[namespace] = own
	}
	own.users++
	return own
}

// leave forgets a namespace without users.
func (n *NamespaceSemaphore) leave(namespace string, own *namespaceBytes) {
	n.mu.Lock()
	defer n.mu.Unlock()
	own.users--
	if own.users == 0 {
		delete(n.namespaces, namespace)
	}
}
