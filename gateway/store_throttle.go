// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signer"
)

// How many deliveries a gateway stores at a time to endpoints that fail, or that
// are slow, and how many of them of one webhook. Slow ones may be many: where the
// API server is slow as well, a modest rate needs as much. One namespace has all
// places but one.
const (
	failingStores, failingStoresEach = 5, 2
	slowStores, slowStoresEach       = 33, 16
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
	// mostGuess is the longest that storing is taken to last in a namespace of which
	// nothing is known yet.
	mostGuess = 100 * time.Millisecond
)

// Why a delivery cannot be stored now.
var (
	// errLineFull: the webhook has more than could be stored if it were alone.
	errLineFull = errors.New("too many deliveries of the webhook wait to be stored")
	// errLineBusy: others wait as well, and the webhook has to pay for it.
	errLineBusy = errors.New("too many deliveries to endpoints that fail wait to be stored")
	// errStalled: nothing has been stored for a while, so the API server is to blame.
	errStalled = errors.New("no delivery could be stored for a while")
)

// storing keeps an endpoint that has just broken from flooding the API server,
// which all others need as well: its deliveries are stored a few at a time until
// its backlog is full. Webhooks have places of their own, and share those of all;
// for these namespaces take turns.
type storing struct {
	storingLimits

	now func() time.Time

	mu     sync.Mutex
	used   int // places of all
	spaces map[string]*storingSpace
	turns  []string      // namespaces in which somebody waits for a place of all, next first
	took   time.Duration // moving average of a store, anywhere
}

type storingLimits struct {
	all, perHook         int
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

// storingSpace is what one namespace stores so.
type storingSpace struct {
	used  int // places of all
	users int // of places, and those that wait for one
	each  map[types.UID]*storingOne
	line  list.List     // of chan struct{}, who wait for a place of all
	took  time.Duration // moving average of a store
	moved time.Time     // when something was last stored, or the first of all these came
}

type storingOne struct {
	places *semaphore.Weighted
	users  int // of places, and those that wait for one
}

func newStoring(limits storingLimits, now func() time.Time) *storing {
	return &storing{storingLimits: limits, now: now, spaces: map[string]*storingSpace{}}
}

// enter waits for a place; the caller gives it back with leave, and says whether
// it has stored the delivery. Unless it must be stored, the line has an end.
func (s *storing) enter(ctx context.Context, webhook webhookKey, must bool) (leave func(stored bool), err error) {
	space, one, err := s.join(webhook, must)
	if err != nil {
		return nil, err
	}
	if err := one.places.Acquire(ctx, 1); err != nil {
		s.part(webhook, space, one)
		return nil, err
	}
	if err := s.acquire(ctx, webhook.namespace, space); err != nil {
		one.places.Release(1)
		s.part(webhook, space, one)
		return nil, err
	}
	turn := s.now()
	return func(stored bool) {
		took := s.now().Sub(turn)
		if stored {
			s.learn(space, took)
		}
		after(min(time.Duration(s.restAll)*took, mostRest), func() { s.release(space) })
		after(min(time.Duration(s.restPerHook)*took, mostRest), func() {
			one.places.Release(1)
			s.part(webhook, space, one)
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
func (s *storing) join(webhook webhookKey, must bool) (*storingSpace, *storingOne, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	space := s.spaces[webhook.namespace]
	if space == nil {
		space = &storingSpace{each: map[types.UID]*storingOne{}, took: min(s.took, mostGuess), moved: s.now()}
	}
	one := space.each[webhook.uid]
	if one == nil {
		one = &storingOne{places: semaphore.NewWeighted(int64(s.perHook))}
	}
	if why := s.refuses(space, one); !must && why != nil {
		return nil, nil, why
	}
	s.spaces[webhook.namespace], space.each[webhook.uid] = space, one
	one.users++
	space.users++
	return space, one, nil
}

// refuses says why whoever joins the line of a webhook would wait for too long; nil:
// they would not.
func (s *storing) refuses(space *storingSpace, one *storingOne) error {
	if s.patience <= 0 {
		return nil
	}
	alone := time.Duration(one.users) * (space.took + min(time.Duration(s.restPerHook)*space.took, mostRest)) / time.Duration(s.perHook)
	var before int // stores that come first, as namespaces take turns
	for _, other := range s.spaces {
		before += min(other.users, space.users)
	}
	shared := time.Duration(before) * (space.took + min(time.Duration(s.restAll)*space.took, mostRest)) / time.Duration(s.all)
	switch {
	case alone <= s.patience && shared <= s.patience:
		return nil
	case s.now().Sub(space.moved) > s.patience:
		return errStalled
	case alone > s.patience:
		return errLineFull
	}
	return errLineBusy
}

// isFull reports whether enter says errLineFull at the moment.
func (s *storing) isFull(webhook webhookKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	space := s.spaces[webhook.namespace]
	if space == nil || space.each[webhook.uid] == nil {
		return false
	}
	return errors.Is(s.refuses(space, space.each[webhook.uid]), errLineFull)
}

func (s *storing) part(webhook webhookKey, space *storingSpace, one *storingOne) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.users--
	space.users--
	if one.users == 0 {
		delete(space.each, webhook.uid)
	}
	if space.users == 0 {
		delete(s.spaces, webhook.namespace)
	}
}

func (s *storing) learn(space *storingSpace, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	space.moved = s.now()
	for _, average := range []*time.Duration{&space.took, &s.took} {
		if *average == 0 {
			*average = took
		}
		*average = (3**average + took) / 4
	}
}

// hasRoom reports whether there is a place of all for one more of a namespace.
func (s *storing) hasRoom(space *storingSpace) bool {
	return s.used < s.all && space.used < max(1, s.all-1)
}

// acquire waits for a place of all.
func (s *storing) acquire(ctx context.Context, namespace string, space *storingSpace) error {
	s.mu.Lock()
	if space.line.Len() == 0 && s.hasRoom(space) {
		s.used++
		space.used++
		s.mu.Unlock()
		return nil
	}
	granted := make(chan struct{})
	if space.line.Len() == 0 {
		s.turns = append(s.turns, namespace)
	}
	waiting := space.line.PushBack(granted)
	s.mu.Unlock()
	select {
	case <-granted:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-granted: // meanwhile
		s.giveBack(space)
	default:
		space.line.Remove(waiting)
		if space.line.Len() == 0 {
			s.turns = slices.DeleteFunc(s.turns, func(each string) bool { return each == namespace })
		}
	}
	return ctx.Err()
}

func (s *storing) release(space *storingSpace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveBack(space)
}

// giveBack gives a place of all to the next namespace in which somebody waits and
// that may have one.
func (s *storing) giveBack(space *storingSpace) {
	s.used--
	space.used--
	for i := 0; i < len(s.turns); {
		namespace := s.turns[i]
		next := s.spaces[namespace]
		if !s.hasRoom(next) {
			i++
			continue
		}
		granted, _ := next.line.Remove(next.line.Front()).(chan struct{})
		s.used++
		next.used++
		close(granted)
		s.turns = slices.Delete(s.turns, i, i+1)
		if next.line.Len() > 0 {
			s.turns = append(s.turns, namespace)
		}
	}
}

// storeThrottle is what a delivery must pass to be stored; nil: nothing, as far as is
// known of the webhook's endpoint.
func (g *Gateway) storeThrottle(webhook *v1alpha1.Webhook) *storing {
	fails, slow := g.attempter.slots.doubts(webhook, g.now())
	switch {
	case fails || webhook.Status.State == v1alpha1.WebhookFailing && !g.attempter.slots.isWell(webhook, g.now()):
		return g.throttleFailing
	case slow:
		return g.throttleSlow
	}
	return nil
}

// isStoreQueueFull reports whether a webhook gets no delivery because too many of its
// deliveries wait to be stored.
func (g *Gateway) isStoreQueueFull(webhook *v1alpha1.Webhook) bool {
	storing := g.storeThrottle(webhook)
	return storing != nil && storing.isFull(keyOf(webhook))
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
