// SPDX-License-Identifier: Apache-2.0

package writetimeout_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

// taking is a write that takes so long unless it is cut off.
func taking(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestATimeoutGrowsWhileWritesEndByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeouts := writetimeout.New(time.Now)
		do := func(d time.Duration) error { return timeouts.Do(t.Context(), "slow", taking(d)) }
		for _, step := range []struct {
			takes  time.Duration
			fails  bool
			before time.Duration
			after  time.Duration
		}{
			{time.Second, false, 2 * time.Second, 2 * time.Second},
			{30 * time.Second, true, 2 * time.Second, 4 * time.Second},
			{30 * time.Second, true, 4 * time.Second, 8 * time.Second},
			{30 * time.Second, true, 8 * time.Second, 16 * time.Second},
			{30 * time.Second, true, 16 * time.Second, 32 * time.Second},
			{30 * time.Second, false, 32 * time.Second, 32 * time.Second},
			{time.Minute, true, 32 * time.Second, 32 * time.Second},
			{3 * time.Second, false, 32 * time.Second, 6 * time.Second},
			{time.Millisecond, false, 6 * time.Second, 2 * time.Second},
		} {
			if got := timeouts.Timeout("slow"); got != step.before {
				t.Errorf("before a write of %s: %s, want %s", step.takes, got, step.before)
			}
			if err := do(step.takes); (err != nil) != step.fails {
				t.Errorf("a write of %s: %v", step.takes, err)
			}
			if got := timeouts.Timeout("slow"); got != step.after {
				t.Errorf("after a write of %s: %s, want %s", step.takes, got, step.after)
			}
		}
	})
}

func TestATimeoutIsLeftAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeouts := writetimeout.New(time.Now)
		_ = timeouts.Do(t.Context(), "slow", taking(time.Minute))
		if got := timeouts.Timeout("other"); got != writetimeout.Min {
			t.Errorf("of another namespace: %s", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = timeouts.Do(ctx, "slow", taking(time.Minute))
		if got := timeouts.Timeout("slow"); got != 4*time.Second {
			t.Errorf("after a caller went away: %s", got)
		}
		_ = timeouts.Do(t.Context(), "slow", func(context.Context) error { return errors.New("refused") })
		if got := timeouts.Timeout("slow"); got != 4*time.Second {
			t.Errorf("after a refusal: %s", got)
		}
		time.Sleep(11 * time.Minute)
		_ = timeouts.Do(t.Context(), "other", taking(time.Millisecond))
		if got := timeouts.Timeout("slow"); got != writetimeout.Min {
			t.Errorf("after eleven minutes without a write: %s", got)
		}
	})
}

func TestWritesUnderWayTogetherChangeATimeoutOnce(t *testing.T) {
	for name, c := range map[string]struct{ others, otherTakes time.Duration }{
		"all end by it":               {0, time.Minute},
		"some are done after it grew": {time.Second, 1500 * time.Millisecond},
		"some end by it after one":    {time.Second, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				timeouts := writetimeout.New(time.Now)
				var writes sync.WaitGroup
				do := func(d time.Duration) { writes.Go(func() { _ = timeouts.Do(t.Context(), "slow", taking(d)) }) }
				do(time.Minute)
				time.Sleep(c.others)
				for range 10 {
					do(c.otherTakes)
				}
				writes.Wait()
				if got := timeouts.Timeout("slow"); got != 4*time.Second {
					t.Errorf("after writes whose limit was 2 s: %s, want 4 s", got)
				}
			})
		})
	}
}
