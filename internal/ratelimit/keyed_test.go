// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"fmt"
	"testing"
	"time"
)

func TestKeyed(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	k := New(2, 3, func() time.Time { return now })
	take := func(key string, want bool, wait time.Duration) {
		t.Helper()
		if got, ok := k.Allow(key); ok != want || got != wait {
			t.Errorf("%s: %s, %t, want %s, %t", key, got, ok, wait, want)
		}
	}
	for range 3 {
		take("a", true, 0)
	}
	take("a", false, 500*time.Millisecond)
	take("b", true, 0)
	now = now.Add(500 * time.Millisecond)
	take("a", true, 0)
	take("a", false, 500*time.Millisecond)
	now = now.Add(time.Hour)
	for range 3 {
		take("a", true, 0)
	}
	take("a", false, 500*time.Millisecond)
}

func TestWhatCannotBeRefusedIsOwed(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	k := New(2, 3, func() time.Time { return now })
	if wait := k.Wait("a"); wait != 0 {
		t.Errorf("of an unknown key: %s", wait)
	}
	for range 2 {
		k.Spend("a", 1)
	}
	if wait := k.Wait("a"); wait != 0 {
		t.Errorf("one is left: %s", wait)
	}
	for range 3 {
		k.Spend("a", 1)
	}
	if wait := k.Wait("a"); wait != 1500*time.Millisecond {
		t.Errorf("two are owed: %s", wait)
	}
	now = now.Add(1500 * time.Millisecond)
	if wait, ok := k.Allow("a"); wait != 0 || !ok {
		t.Errorf("they are paid: %s, %t", wait, ok)
	}
}

func TestWhatIsLargerThanABucketHasItsTurn(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	k := New(2, 3, func() time.Time { return now })
	take := func(n int, want time.Duration) {
		t.Helper()
		if wait, ok := k.Take("a", n); wait != want || ok != (want == 0) {
			t.Errorf("take %d: %s, %t, want %s", n, wait, ok, want)
		}
	}
	take(2, 0)
	take(10, 0) // with one left
	take(1, 5*time.Second)
	now = now.Add(5 * time.Second)
	take(1, 0)
	take(1, 500*time.Millisecond)
}

func TestWhatIsNotNeededIsPutBack(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	k := New(2, 3, func() time.Time { return now })
	k.Take("a", 9)
	k.Return("a", 9)
	if wait, ok := k.Take("a", 3); !ok {
		t.Errorf("after all is back: %s", wait)
	}
	now = now.Add(time.Hour)
	k.Return("a", 9)
	k.Return("unknown", 9)
	for _, key := range []string{"a", "unknown"} {
		k.Take(key, 3)
		if wait, ok := k.Take(key, 1); ok || wait != 500*time.Millisecond {
			t.Errorf("%s: a bucket holds no more than it did: %s, %t", key, wait, ok)
		}
	}
}

func TestKeysAreBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	k := New(1, 2, func() time.Time { return now })
	for n := range 3 * maxKeys {
		k.Allow(fmt.Sprint(n))
	}
	if len(k.buckets) > maxKeys {
		t.Errorf("%d keys", len(k.buckets))
	}
	now = now.Add(time.Hour)
	for n := len(k.buckets); n <= maxKeys; n++ {
		k.Allow(fmt.Sprint("later", n))
	}
	if len(k.buckets) > maxKeys/4+1 {
		t.Errorf("%d keys, though the buckets of most are full again", len(k.buckets))
	}
}
