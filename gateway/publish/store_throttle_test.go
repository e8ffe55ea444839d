// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestThrottledDeliveriesAreStoredAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStoreThrottle(storeThrottleLimits{all: 5, perWebhook: 2}, time.Now)
		var releases []func(bool)
		acquire := func(webhook types.UID) {
			release, err := s.acquire(t.Context(), teamWebhook(webhook), false)
			if err != nil {
				t.Fatal(err)
			}
			releases = append(releases, release)
		}
		for range 2 {
			acquire("a")
			acquire("b")
		}
		for _, webhook := range []types.UID{"a", "c"} { // its own slots, and the shared ones, are taken
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := s.acquire(ctx, teamWebhook(webhook), false); err == nil {
				t.Errorf("%s has a slot beyond the bound", webhook)
			}
			cancel()
		}
		releases[0](true)
		acquire("c")
		for _, release := range releases[1:] {
			release(true)
		}
		s.expectEmpty(t)
	})
}

// expectEmpty fails the test if the throttle holds state without users.
func (s *storeThrottle) expectEmpty(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.namespaces)+len(s.order)+s.used != 0 {
		t.Errorf("%d namespaces have state without users, %d wait, %d slots are taken", len(s.namespaces), len(s.order), s.used)
	}
}

// teamWebhook is a webhook of the namespace team.
func teamWebhook(webhook types.UID) webhookKey { return webhookKey{"team", string(webhook), webhook} }

func (s *storeThrottle) countUsers(webhook types.UID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.namespaces["team"].webhooks[webhook].users
}

// acquireForever acquires without a bound on the wait, and returns how long it waited.
func acquireForever(t *testing.T, s *storeThrottle, webhook types.UID) (release func(stored bool), waited time.Duration) {
	t.Helper()
	began := time.Now()
	release, err := s.acquire(t.Context(), teamWebhook(webhook), true)
	if err != nil {
		t.Fatal(err)
	}
	return release, time.Since(began)
}

// The load on the API server follows its speed: it is left idle for a multiple of the time that each store took.
func TestSlotsOfFailingEndpointsStayEmptyForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStoreThrottle(storeThrottleLimits{all: 3, perWebhook: 1, factorAll: 1, factorPerWebhook: 7}, time.Now)
		for _, took := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Minute} {
			release, _ := acquireForever(t, s, "a")
			time.Sleep(took)
			release(true)
			release, waited := acquireForever(t, s, "a")
			if want := min(7*took, maxThrottleWait); waited != want {
				t.Errorf("after %s the next one waits %s, not %s", took, waited, want)
			}
			release(true) // the store took no time, so that the slot is free at once
		}
		first, _ := acquireForever(t, s, "a")
		second, _ := acquireForever(t, s, "b")
		time.Sleep(10 * time.Millisecond)
		first(true)
		release, waited := acquireForever(t, s, "c")
		if waited != 10*time.Millisecond {
			t.Errorf("another webhook waits %s for a shared slot", waited)
		}
		second(true)
		release(true)
		time.Sleep(time.Second)
		s.expectEmpty(t)
	})
}

func TestStoreQueueOfAFailingEndpointIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStoreThrottle(failingThrottleLimits(), time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		store := func(webhook types.UID, took time.Duration) {
			release, err := s.acquire(ctx, teamWebhook(webhook), false)
			if err == nil {
				time.Sleep(took)
				release(true)
			}
		}
		for range 20 {
			store("a", 10*time.Millisecond)
		}
		// With two slots and 80 ms for each store, 50 are stored within two seconds.
		for range 200 {
			go store("a", 10*time.Millisecond)
		}
		synctest.Wait()
		if n := s.countUsers("a"); n < 50 || n > 54 {
			t.Errorf("%d wait", n)
		}
		if _, err := s.acquire(ctx, teamWebhook("a"), false); !errors.Is(err, errStoreQueueFull) || !s.isFull(teamWebhook("a")) {
			t.Errorf("one more: %v", err)
		}
		if s.isFull(teamWebhook("b")) {
			t.Error("another webhook has to pay for it")
		}
		began := time.Now()
		if release, err := s.acquire(ctx, teamWebhook("a"), true); err != nil {
			t.Errorf("what has been attempted: %v", err)
		} else {
			release(true)
		}
		if waited := time.Since(began); waited > maxFailingWait+200*time.Millisecond {
			t.Errorf("it waited for %s", waited)
		}
		cancel()
		time.Sleep(time.Minute)
		s.expectEmpty(t)
	})
}

// While nothing can be stored, no webhook is skipped: the event can be published again.
func TestStalledStoreQueueIsNotFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStoreThrottle(failingThrottleLimits(), time.Now)
		release, _ := acquireForever(t, s, "a")
		time.Sleep(100 * time.Millisecond)
		release(true)
		ctx, cancel := context.WithCancel(t.Context())
		for range 20 {
			go func() {
				release, err := s.acquire(ctx, teamWebhook("a"), true)
				if err == nil {
					<-ctx.Done()
					release(false)
				}
			}()
		}
		synctest.Wait()
		if _, err := s.acquire(ctx, teamWebhook("a"), false); !errors.Is(err, errStoreQueueFull) {
			t.Errorf("at once: %v", err)
		}
		time.Sleep(maxFailingWait + time.Millisecond)
		if _, err := s.acquire(ctx, teamWebhook("a"), false); !errors.Is(err, errStalled) || s.isFull(teamWebhook("a")) {
			t.Errorf("after a while: %v", err)
		}
		cancel()
		time.Sleep(time.Minute)
		s.expectEmpty(t)
	})
}

// A webhook is skipped for its own rate alone: while other webhooks fail as well, its events are refused and can be
// published again.
func TestWebhooksThatFailTogetherAreNotFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStoreThrottle(failingThrottleLimits(), time.Now)
		count := map[string]map[error]int{"crowd": {}, "other": {}}
		longest := map[string]time.Duration{}
		var mu sync.Mutex
		var all sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		stream := func(namespace string, webhook int) {
			key := webhookKey{namespace, fmt.Sprint(webhook), types.UID(fmt.Sprint(namespace, webhook))}
			time.Sleep(time.Duration(webhook) * 20 * time.Millisecond)
			for range 60 { // one a second
				all.Go(func() {
					began := time.Now()
					release, err := s.acquire(ctx, key, false)
					if err == nil {
						time.Sleep(100 * time.Millisecond)
						release(true)
					}
					mu.Lock()
					defer mu.Unlock()
					count[namespace][err]++
					longest[namespace] = max(longest[namespace], time.Since(began))
				})
				time.Sleep(time.Second)
			}
		}
		for webhook := range 50 {
			all.Go(func() { stream("crowd", webhook) })
		}
		all.Go(func() { stream("other", 0) })
		all.Wait()
		if full := count["crowd"][errStoreQueueFull] + count["other"][errStoreQueueFull]; full > 0 {
			t.Errorf("%d deliveries are skipped though no webhook has more than one a second", full)
		}
		if count["crowd"][errStoreQueueBusy] == 0 || count["crowd"][nil] < 1000 {
			t.Errorf("%d of 3000 were stored, %d are to be repeated", count["crowd"][nil], count["crowd"][errStoreQueueBusy])
		}
		if count["other"][nil] != 60 || longest["other"] > time.Second {
			t.Errorf("of another namespace %d of 60 were stored, the last after %s", count["other"][nil], longest["other"])
		}
		time.Sleep(time.Minute)
		s.expectEmpty(t)
	})
}

// An API server that was not asked for a while is not stalled.
func TestBurstAfterAnIdleTimeIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStoreThrottle(failingThrottleLimits(), time.Now)
		release, _ := acquireForever(t, s, "a")
		time.Sleep(10 * time.Millisecond)
		release(true)
		time.Sleep(time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		for range 200 {
			go func() {
				release, err := s.acquire(ctx, teamWebhook("a"), false)
				switch {
				case err == nil:
					time.Sleep(10 * time.Millisecond)
					release(true)
				case !errors.Is(err, errStoreQueueFull) && ctx.Err() == nil:
					t.Errorf("one of a burst: %v", err)
				}
			}()
		}
		time.Sleep(time.Second)
		cancel()
		time.Sleep(time.Minute)
		s.expectEmpty(t)
	})
}
