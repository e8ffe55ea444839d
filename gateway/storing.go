// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signer"
)

// How many deliveries a gateway stores at a time to endpoints that fail, or that
// are slow, and how many of them of one webhook. Slow ones may be many: where the
// API server is slow as well, a modest rate needs as much.
const (
	failingStores, failingStoresEach = 4, 2
	slowStores, slowStoresEach       = 32, 16
)

const (
	// failingRest is how many times as long as storing took the place of an endpoint
	// that fails stays empty then, failingRestAll that of all such endpoints together,
	// and mostRest how long at most: the API server is asked for a part of what it can
	// do, however much that is.
	failingRest, failingRestAll = 7, 1
	mostRest                    = time.Second
	// failingPatience is how long a delivery may have to wait for such a place; those
	// that would wait longer are too many.
	failingPatience = 2 * time.Second
)

// Why a delivery cannot be stored now.
var (
	// errLineFull: too many of the same webhook wait already.
	errLineFull = errors.New("too many deliveries of the webhook wait to be stored")
	// errStalled: nothing has been stored for a while, so the API server is to blame.
	errStalled = errors.New("no delivery could be stored for a while")
)

// storing keeps an endpoint that has just broken from flooding the API server,
// which all others need as well: its deliveries are stored a few at a time until
// its backlog is full. Webhooks take turns.
type storing struct {
	storingLimits

	all *semaphore.Weighted // first come, first served
	now func() time.Time

	mu     sync.Mutex
	each   map[types.UID]*storingOne
	cycle  time.Duration // moving average of how long a webhook's place is taken, rest included
	stored time.Time     // when something last was
}

type storingLimits struct {
	all, perHook         int64
	restAll, restPerHook int           // times as long as storing took
	patience             time.Duration // 0: without end
}

// failingLimits are for endpoints that fail or hang, slowLimits for slow ones.
func failingLimits() storingLimits {
	return storingLimits{
		all: failingStores, perHook: failingStoresEach, restAll: failingRestAll, restPerHook: failingRest, patience: failingPatience,
	}
}

func slowLimits() storingLimits {
	return storingLimits{all: slowStores, perHook: slowStoresEach}
}

type storingOne struct {
	places *semaphore.Weighted
	users  int // of places, and those that wait for one
}

func newStoring(limits storingLimits, now func() time.Time) *storing {
	return &storing{storingLimits: limits, all: semaphore.NewWeighted(limits.all), now: now, each: map[types.UID]*storingOne{}}
}

// enter waits for a place; the caller gives it back with leave, and says whether
// it has stored the delivery. Unless it must be stored, the line has an end.
func (s *storing) enter(ctx context.Context, webhook types.UID, must bool) (leave func(stored bool), err error) {
	one, err := s.join(webhook, must)
	if err != nil {
		return nil, err
	}
	if err := one.places.Acquire(ctx, 1); err != nil {
		s.part(webhook, one)
		return nil, err
	}
	began := s.now()
	if err := s.all.Acquire(ctx, 1); err != nil {
		one.places.Release(1)
		s.part(webhook, one)
		return nil, err
	}
	turn := s.now()
	return func(stored bool) {
		now := s.now()
		took := now.Sub(turn)
		rest := min(time.Duration(s.restPerHook)*took, mostRest)
		if stored {
			s.learn(now.Sub(began)+rest, now)
		}
		after(min(time.Duration(s.restAll)*took, mostRest), func() { s.all.Release(1) })
		after(rest, func() {
			one.places.Release(1)
			s.part(webhook, one)
		})
	}, nil
}

// after calls f after d, at once if that is none.
func after(d time.Duration, f func()) {
	if d <= 0 {
		f()
		return
	}
	time.AfterFunc(d, f)
}

// join takes a place in the line of a webhook.
func (s *storing) join(webhook types.UID, must bool) (*storingOne, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.each[webhook]
	if one == nil {
		one = &storingOne{places: semaphore.NewWeighted(s.perHook)}
		s.each[webhook] = one
	}
	if !must && s.isLong(one) {
		if s.now().Sub(s.stored) > s.patience {
			return nil, errStalled
		}
		return nil, errLineFull
	}
	one.users++
	return one, nil
}

// isLong reports whether who joins the line of a webhook would wait for too long.
func (s *storing) isLong(one *storingOne) bool {
	return s.patience > 0 && time.Duration(one.users)*s.cycle > time.Duration(s.perHook)*s.patience
}

// isFull reports whether enter says errLineFull at the moment.
func (s *storing) isFull(webhook types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.each[webhook]
	return one != nil && s.isLong(one) && s.now().Sub(s.stored) <= s.patience
}

func (s *storing) part(webhook types.UID, one *storingOne) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.users--
	if one.users == 0 {
		delete(s.each, webhook)
	}
}

func (s *storing) learn(cycle time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = now
	if s.cycle == 0 {
		s.cycle = cycle
	}
	s.cycle = (3*s.cycle + cycle) / 4
}

// storingOf is what a delivery must pass to be stored; nil: nothing, as far as is
// known of the webhook's endpoint.
func (g *Gateway) storingOf(webhook *v1alpha1.Webhook) *storing {
	fails, slow := g.firsts.slots.doubts(webhook, g.now())
	switch {
	case fails || webhook.Status.State == v1alpha1.WebhookFailing && !g.firsts.slots.isWell(webhook, g.now()):
		return g.storingFailing
	case slow:
		return g.storingSlow
	}
	return nil
}

// isLineFull reports whether a webhook gets no delivery because too many of its
// deliveries wait to be stored.
func (g *Gateway) isLineFull(webhook *v1alpha1.Webhook) bool {
	storing := g.storingOf(webhook)
	return storing != nil && storing.isFull(webhook.UID)
}

// lineFull refuses an event for the sake of such a webhook.
func lineFull(webhook *v1alpha1.Webhook) *problem {
	return limitReached(reasonBacklogFull, fmt.Sprintf(
		"the endpoint of webhook %s fails, as many of its deliveries wait to be stored as can be in %s, and it refuses events that it cannot take", idOf(webhook), failingPatience))
}

// doubts reports whether an endpoint fails or hangs, or is slow, as far as is known
// here.
func (s *slots) doubts(webhook *v1alpha1.Webhook, now time.Time) (fails, slow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ripen(now)
	h := s.hooks[keyOf(webhook)]
	if h == nil || !h.isEndpointOf(webhook) {
		h = &hookSlots{key: keyOf(webhook), revision: signer.EndpointRevision(webhook)}
	}
	return h.strikes >= strikesToClose && h.askedUntil.IsZero() || s.isHung(h, now), h.isProbed()
}
