// SPDX-License-Identifier: Apache-2.0

package publish

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
	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// Slots to store deliveries to failing endpoints and to slow ones: in all, and of one webhook. Slow ones need many:
// where the API server is slow as well, a modest rate takes as much. One namespace has all slots but one.
const (
	failingStores, failingStoresPerWebhook = 5, 2
	slowStores, slowStoresPerWebhook       = 33, 16
)

const (
	// failingFactor is how many times as long as its store took a webhook's slot for a failing endpoint stays empty,
	// failingFactorAll the same for the slots that all share, and maxThrottleWait bounds both: deliveries to failing
	// endpoints take a fraction of what the API server can do, whatever that is.
	failingFactor, failingFactorAll = 7, 1
	maxThrottleWait                 = time.Second
	// maxFailingWait is how long a delivery may wait for such a slot; one that would wait longer is refused or skipped.
	maxFailingWait = 2 * time.Second
	// maxAssumedLatency bounds the latency assumed for a namespace without a store so far.
	maxAssumedLatency = 100 * time.Millisecond
)

// Reasons why a delivery cannot be stored now.
var (
	// errStoreQueueFull: the webhook has more than could be stored if it were alone.
	errStoreQueueFull = errors.New("too many deliveries of the webhook wait to be stored")
	// errStoreQueueBusy: deliveries of others wait as well, and this one would wait for too long behind them.
	errStoreQueueBusy = errors.New("too many deliveries to endpoints that fail wait to be stored")
	// errStalled: nothing has been stored for a while, so the API server is to blame.
	errStalled = errors.New("no delivery could be stored for a while")
)

// storeThrottle keeps an endpoint that has just broken from flooding the API server: its deliveries are stored a few at
// a time, until its backlog is full. Each webhook has slots of its own, and all share further ones, for which
// namespaces take turns.
type storeThrottle struct {
	storeThrottleLimits

	now func() time.Time

	mu             sync.Mutex
	used           int // shared slots
	namespaces     map[string]*namespaceStores
	order          []string      // that wait for a shared slot, next first
	latencyAverage time.Duration // of a store, in any namespace
}

type storeThrottleLimits struct {
	all, perWebhook             int
	factorAll, factorPerWebhook int           // times as long as the store took
	maxWait                     time.Duration // 0: unbounded
}

// failingThrottleLimits are for endpoints that fail or hang, slowThrottleLimits for slow ones.
func failingThrottleLimits() storeThrottleLimits {
	return storeThrottleLimits{
		all: failingStores, perWebhook: failingStoresPerWebhook, factorAll: failingFactorAll, factorPerWebhook: failingFactor, maxWait: maxFailingWait,
	}
}

func slowThrottleLimits() storeThrottleLimits {
	return storeThrottleLimits{all: slowStores, perWebhook: slowStoresPerWebhook}
}

// namespaceStores are the stores of one namespace.
type namespaceStores struct {
	used           int // shared slots
	users          int // hold a slot, or wait for one
	webhooks       map[types.UID]*webhookStores
	queue          list.List     // of chan struct{}, waiting for a shared slot
	latencyAverage time.Duration // of a store
	lastStored     time.Time     // when the last store ended, or the first of the present ones began
}

type webhookStores struct {
	slots *semaphore.Weighted
	users int // hold a slot, or wait for one
}

func newStoreThrottle(limits storeThrottleLimits, now func() time.Time) *storeThrottle {
	return &storeThrottle{storeThrottleLimits: limits, now: now, namespaces: map[string]*namespaceStores{}}
}

// acquire waits for a slot; the caller gives it back by release, and says whether the delivery was stored. Unless the
// delivery must be stored, acquire fails where the wait would be too long.
func (s *storeThrottle) acquire(ctx context.Context, webhook webhookKey, must bool) (release func(stored bool), err error) {
	stores, slots, err := s.join(webhook, must)
	if err != nil {
		return nil, err
	}
	if err := slots.slots.Acquire(ctx, 1); err != nil {
		s.leave(webhook, stores, slots)
		return nil, err
	}
	if err := s.acquireShared(ctx, webhook.namespace, stores); err != nil {
		slots.slots.Release(1)
		s.leave(webhook, stores, slots)
		return nil, err
	}
	turn := s.now()
	return func(stored bool) {
		took := s.now().Sub(turn)
		if stored {
			s.observeLatency(stores, took)
		}
		callThrottleAfter(min(time.Duration(s.factorAll)*took, maxThrottleWait), func() { s.releaseShared(stores) })
		callThrottleAfter(min(time.Duration(s.factorPerWebhook)*took, maxThrottleWait), func() {
			slots.slots.Release(1)
			s.leave(webhook, stores, slots)
		})
	}, nil
}

// callThrottleAfter calls f after d, at once if d is 0.
func callThrottleAfter(d time.Duration, f func()) {
	if d <= 0 {
		f()
		return
	}
	time.AfterFunc(d, f)
}

// join counts a delivery among those of its webhook, if it may wait.
func (s *storeThrottle) join(webhook webhookKey, must bool) (*namespaceStores, *webhookStores, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stores := s.namespaces[webhook.namespace]
	if stores == nil {
		stores = &namespaceStores{webhooks: map[types.UID]*webhookStores{}, latencyAverage: min(s.latencyAverage, maxAssumedLatency), lastStored: s.now()}
	}
	own := stores.webhooks[webhook.uid]
	if own == nil {
		own = &webhookStores{slots: semaphore.NewWeighted(int64(s.perWebhook))}
	}
	if reason := s.refusal(stores, own); !must && reason != nil {
		return nil, nil, reason
	}
	s.namespaces[webhook.namespace], stores.webhooks[webhook.uid] = stores, own
	own.users++
	stores.users++
	return stores, own, nil
}

// refusal is why a further delivery of a webhook would wait for too long; nil: it would not.
func (s *storeThrottle) refusal(stores *namespaceStores, own *webhookStores) error {
	if s.maxWait <= 0 {
		return nil
	}
	alone := time.Duration(own.users) * (stores.latencyAverage + min(time.Duration(s.factorPerWebhook)*stores.latencyAverage, maxThrottleWait)) / time.Duration(s.perWebhook)
	var before int // stores that come first, as namespaces take turns
	for _, other := range s.namespaces {
		before += min(other.users, stores.users)
	}
	shared := time.Duration(before) * (stores.latencyAverage + min(time.Duration(s.factorAll)*stores.latencyAverage, maxThrottleWait)) / time.Duration(s.all)
	switch {
	case alone <= s.maxWait && shared <= s.maxWait:
		return nil
	case s.now().Sub(stores.lastStored) > s.maxWait:
		return errStalled
	case alone > s.maxWait:
		return errStoreQueueFull
	}
	return errStoreQueueBusy
}

// isFull reports whether acquire would fail with errStoreQueueFull now.
func (s *storeThrottle) isFull(webhook webhookKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	stores := s.namespaces[webhook.namespace]
	if stores == nil || stores.webhooks[webhook.uid] == nil {
		return false
	}
	return errors.Is(s.refusal(stores, stores.webhooks[webhook.uid]), errStoreQueueFull)
}

func (s *storeThrottle) leave(webhook webhookKey, stores *namespaceStores, own *webhookStores) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own.users--
	stores.users--
	if own.users == 0 {
		delete(stores.webhooks, webhook.uid)
	}
	if stores.users == 0 {
		delete(s.namespaces, webhook.namespace)
	}
}

func (s *storeThrottle) observeLatency(stores *namespaceStores, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stores.lastStored = s.now()
	for _, average := range []*time.Duration{&stores.latencyAverage, &s.latencyAverage} {
		if *average == 0 {
			*average = took
		}
		*average = (3**average + took) / 4
	}
}

// hasFreeSlot reports whether a namespace may have another shared slot.
func (s *storeThrottle) hasFreeSlot(stores *namespaceStores) bool {
	return s.used < s.all && stores.used < max(1, s.all-1)
}

// acquireShared waits for a shared slot.
func (s *storeThrottle) acquireShared(ctx context.Context, namespace string, stores *namespaceStores) error {
	s.mu.Lock()
	if stores.queue.Len() == 0 && s.hasFreeSlot(stores) {
		s.used++
		stores.used++
		s.mu.Unlock()
		return nil
	}
	granted := make(chan struct{})
	if stores.queue.Len() == 0 {
		s.order = append(s.order, namespace)
	}
	waiting := stores.queue.PushBack(granted)
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
		s.returnSlot(stores)
	default:
		stores.queue.Remove(waiting)
		if stores.queue.Len() == 0 {
			s.order = slices.DeleteFunc(s.order, func(each string) bool { return each == namespace })
		}
	}
	return ctx.Err()
}

func (s *storeThrottle) releaseShared(stores *namespaceStores) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.returnSlot(stores)
}

// returnSlot gives shared slots back, and then to the next namespaces that wait and may have one.
func (s *storeThrottle) returnSlot(stores *namespaceStores) {
	s.used--
	stores.used--
	for i := 0; i < len(s.order); {
		namespace := s.order[i]
		next := s.namespaces[namespace]
		if !s.hasFreeSlot(next) {
			i++
			continue
		}
		granted, _ := next.queue.Remove(next.queue.Front()).(chan struct{})
		s.used++
		next.used++
		close(granted)
		s.order = slices.Delete(s.order, i, i+1)
		if next.queue.Len() > 0 {
			s.order = append(s.order, namespace)
		}
	}
}

// storeThrottles are the throttles for failing and for slow endpoints.
type storeThrottles struct {
	limiter       *limiter
	failing, slow *storeThrottle
	now           func() time.Time
}

func newStoreThrottles(limiter *limiter, now func() time.Time) *storeThrottles {
	return &storeThrottles{limiter: limiter, failing: newStoreThrottle(failingThrottleLimits(), now), slow: newStoreThrottle(slowThrottleLimits(), now), now: now}
}

// find returns the throttle that a delivery must pass to be stored; nil: none, as its endpoint is not known to be slow
// or failing.
func (t *storeThrottles) find(webhook *v1alpha1.Webhook) *storeThrottle {
	fails, slow := t.limiter.classify(webhook, t.now())
	switch {
	case fails || webhook.Status.State == v1alpha1.WebhookFailing && !t.limiter.isHealthy(webhook, t.now()):
		return t.failing
	case slow:
		return t.slow
	}
	return nil
}

// isQueueFull reports whether a webhook gets no delivery because too many of its deliveries wait to be stored.
func (t *storeThrottles) isQueueFull(webhook *v1alpha1.Webhook) bool {
	throttle := t.find(webhook)
	return throttle != nil && throttle.isFull(newWebhookKey(webhook))
}

// storeQueueFull is the error of an event that such a webhook refuses.
func storeQueueFull(webhook *v1alpha1.Webhook) *store.QuotaError {
	return &store.QuotaError{Reason: store.QuotaWebhookFull, Detail: fmt.Sprintf(
		"the endpoint of webhook %s fails, as many of its deliveries wait to be stored as can be in %s, and it refuses events that it cannot take", store.WebhookID(webhook), maxFailingWait)}
}
