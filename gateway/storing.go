// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// How many deliveries a gateway stores at a time to endpoints that fail, or that
// are slow, and how many of them of one webhook. Slow ones may be many: where the
// API server is slow as well, a modest rate needs as much.
const (
	failingStores, failingStoresEach = 4, 2
	slowStores, slowStoresEach       = 32, 16
)

// storing keeps an endpoint that has just broken from flooding the API server,
// which all others need as well: its deliveries are stored a few at a time until
// its backlog is full. Webhooks take turns.
type storing struct {
	all     *semaphore.Weighted // first come, first served
	perHook int64

	mu   sync.Mutex
	each map[types.UID]*storingOne
}

type storingOne struct {
	places *semaphore.Weighted
	users  int
}

func newStoring(all, perHook int64) *storing {
	return &storing{all: semaphore.NewWeighted(all), perHook: perHook, each: map[types.UID]*storingOne{}}
}

// enter waits for a place; the caller gives it back with leave.
func (s *storing) enter(ctx context.Context, webhook types.UID) (leave func(), err error) {
	s.mu.Lock()
	one := s.each[webhook]
	if one == nil {
		one = &storingOne{places: semaphore.NewWeighted(s.perHook)}
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

// storingOf is what a delivery must pass to be stored; nil: nothing, as far as is
// known of the webhook's endpoint.
func (g *Gateway) storingOf(webhook *v1alpha1.Webhook) *storing {
	fails, slow := g.firsts.slots.doubts(webhook.UID, g.now())
	switch {
	case fails || webhook.Status.State == v1alpha1.WebhookFailing:
		return g.storingFailing
	case slow:
		return g.storingSlow
	}
	return nil
}

// doubts reports whether an endpoint fails or hangs, or is slow, as far as is known
// here.
func (s *slots) doubts(webhook types.UID, now time.Time) (fails, slow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hooks[webhook]
	if h == nil {
		h = &hookSlots{}
	}
	return h.strikes >= strikesToClose && h.askedUntil.IsZero() || s.isHung(webhook, h, now), h.isProbed()
}
