// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestDoubtfulDeliveriesAreStoredAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStoring(storingLimits{all: 4, perHook: 2}, time.Now)
		var leaves []func(bool)
		enter := func(webhook types.UID) {
			leave, err := s.enter(t.Context(), webhook, false)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		for range 2 {
			enter("a")
			enter("b")
		}
		for _, webhook := range []types.UID{"a", "c"} { // its own bound, and that of all
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := s.enter(ctx, webhook, false); err == nil {
				t.Errorf("%s has a place beyond the bound", webhook)
			}
			cancel()
		}
		leaves[0](true)
		enter("c")
		for _, leave := range leaves[1:] {
			leave(true)
		}
		s.expectNobody(t)
	})
}

// expectNobody looks whether anything is remembered in vain.
func (s *storing) expectNobody(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.each) != 0 {
		t.Errorf("%d webhooks are remembered in vain", len(s.each))
	}
}

func (s *storing) usersOf(webhook types.UID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.each[webhook].users
}

// take enters with no end of patience and returns after how long it had a place.
func take(t *testing.T, s *storing, webhook types.UID) (leave func(stored bool), waited time.Duration) {
	t.Helper()
	began := time.Now()
	leave, err := s.enter(t.Context(), webhook, true)
	if err != nil {
		t.Fatal(err)
	}
	return leave, time.Since(began)
}

// What is asked of the API server follows what it can do: it has a multiple of the
// time that it took for others.
func TestPlacesOfWhatFailsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStoring(storingLimits{all: 2, perHook: 1, restAll: 1, restPerHook: 7}, time.Now)
		for _, took := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Minute} {
			leave, _ := take(t, s, "a")
			time.Sleep(took)
			leave(true)
			leave, waited := take(t, s, "a")
			if want := min(7*took, mostRest); waited != want {
				t.Errorf("after %s the next one waits %s, not %s", took, waited, want)
			}
			leave(true) // took no time, so there is no rest
		}
		first, _ := take(t, s, "a")
		second, _ := take(t, s, "b")
		time.Sleep(10 * time.Millisecond)
		first(true)
		leave, waited := take(t, s, "c")
		if waited != 10*time.Millisecond {
			t.Errorf("another webhook waits %s for a place of all", waited)
		}
		second(true)
		leave(true)
		time.Sleep(time.Second)
		s.expectNobody(t)
	})
}

func TestTheLineOfWhatFailsHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStoring(failingLimits(), time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		store := func(webhook types.UID, took time.Duration) {
			leave, err := s.enter(ctx, webhook, false)
			if err == nil {
				time.Sleep(took)
				leave(true)
			}
		}
		for range 20 {
			store("a", 10*time.Millisecond)
		}
		// Two places, each taken for 80 ms: 50 are through within two seconds.
		for range 200 {
			go store("a", 10*time.Millisecond)
		}
		synctest.Wait()
		if n := s.usersOf("a"); n < 50 || n > 54 {
			t.Errorf("%d stand in line", n)
		}
		if _, err := s.enter(ctx, "a", false); !errors.Is(err, errLineFull) || !s.isFull("a") {
			t.Errorf("one more: %v", err)
		}
		if s.isFull("b") {
			t.Error("another webhook has to pay for it")
		}
		began := time.Now()
		if leave, err := s.enter(ctx, "a", true); err != nil {
			t.Errorf("what has been attempted: %v", err)
		} else {
			leave(true)
		}
		if waited := time.Since(began); waited > failingPatience+200*time.Millisecond {
			t.Errorf("it waited for %s", waited)
		}
		cancel()
		time.Sleep(time.Minute)
		s.expectNobody(t)
	})
}

// When nothing can be stored, nothing is left out for its sake: it can be
// published again.
func TestALineThatDoesNotMoveIsNotFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStoring(failingLimits(), time.Now)
		leave, _ := take(t, s, "a")
		time.Sleep(100 * time.Millisecond)
		leave(true)
		ctx, cancel := context.WithCancel(t.Context())
		for range 20 {
			go func() {
				leave, err := s.enter(ctx, "a", true)
				if err == nil {
					<-ctx.Done()
					leave(false)
				}
			}()
		}
		synctest.Wait()
		if _, err := s.enter(ctx, "a", false); !errors.Is(err, errLineFull) {
			t.Errorf("at once: %v", err)
		}
		time.Sleep(failingPatience + time.Millisecond)
		if _, err := s.enter(ctx, "a", false); !errors.Is(err, errStalled) || s.isFull("a") {
			t.Errorf("after a while: %v", err)
		}
		cancel()
		time.Sleep(time.Minute)
		s.expectNobody(t)
	})
}
