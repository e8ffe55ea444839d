// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

const (
	// doubtfulStores is how many deliveries to endpoints that fail or are slow a
	// gateway stores at a time, and doubtfulStoresEach how many of one webhook.
	doubtfulStores     = 4
	doubtfulStoresEach = 2
)

// storing keeps an endpoint that has just broken from flooding the API server,
// which all others need as well: its deliveries are stored a few at a time until
// its backlog is full. Webhooks take turns.
type storing struct {
	all *semaphore.Weighted // first come, first served

	mu   sync.Mutex
	each map[types.UID]*storingOne
}

type storingOne struct {
	places *semaphore.Weighted
	users  int
}

func newStoring() *storing {
	return &storing{all: semaphore.NewWeighted(doubtfulStores), each: map[types.UID]*storingOne{}}
}

// enter waits for a place; the caller gives it back with leave.
func (s *storing) enter(ctx context.Context, webhook types.UID) (leave func(), err error) {
	s.mu.Lock()
	one := s.each[webhook]
	if one == nil {
		one = &storingOne{places: semaphore.NewWeighted(doubtfulStoresEach)}
		s.each[webhook] = one
	}
	one.users++
	s.mu.Unlock()
	drop := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		one.users--
		if one.users == 0 {
			delete(s.each, webhook)
		}
	}
	if err := one.places.Acquire(ctx, 1); err != nil {
		drop()
		return nil, err
	}
	if err := s.all.Acquire(ctx, 1); err != nil {
		one.places.Release(1)
		drop()
		return nil, err
	}
	return func() {
		s.all.Release(1)
		one.places.Release(1)
		drop()
	}, nil
}

// doubts reports whether a webhook's endpoint fails or is slow, as far as is known.
func (s *slots) doubts(webhook *v1alpha1.Webhook) bool {
	if webhook.Status.State == v1alpha1.WebhookFailing {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hooks[webhook.UID]
	return h != nil && h.isProbed()
}
