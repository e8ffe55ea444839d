// SPDX-License-Identifier: Apache-2.0

package retry_test

import (
	"slices"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/retry"
)

var ended = time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC)

func TestDefaultScheduleIsTheTableOfTheContract(t *testing.T) {
	p := retry.DefaultPolicy()
	at := ended
	var elapsed []time.Duration
	for attempt := 1; ; attempt++ {
		next, ok := p.NextAttempt(attempt, at, time.Time{}, 0.99)
		if !ok {
			break
		}
		at = next
		elapsed = append(elapsed, at.Sub(ended))
	}
	want := []time.Duration{5 * time.Second, 20 * time.Second, 65 * time.Second, 185 * time.Second}
	if !slices.Equal(elapsed, want) || p.MaxAttempts() != 5 || p.Timeout != 10*time.Second {
		t.Errorf("elapsed %v, %d attempts, timeout %v; want %v, 5, 10s", elapsed, p.MaxAttempts(), p.Timeout, want)
	}
}

func TestNextAttempt(t *testing.T) {
	type result struct {
		After time.Duration
		OK    bool
	}
	twoDelays := []time.Duration{10 * time.Second, 2 * time.Hour}
	tests := []struct {
		name      string
		policy    retry.Policy
		attempt   int
		notBefore time.Duration // after ended; 0 is none
		jitter    float64
		want      result
	}{
		{"the first delay follows the first attempt", retry.Policy{Delays: twoDelays}, 1, 0, 0, result{10 * time.Second, true}},
		{"the last delay follows the last but one", retry.Policy{Delays: twoDelays}, 2, 0, 0, result{2 * time.Hour, true}},
		{"nothing follows the last attempt", retry.Policy{Delays: twoDelays}, 3, 0, 0, result{}},
		{"nothing follows an attempt by hand after the last", retry.Policy{Delays: twoDelays}, 7, 0, 0, result{}},
		{"no delays means one attempt", retry.Policy{}, 1, 0, 0, result{}},
		{"a number below 1 counts as the first attempt", retry.Policy{Delays: twoDelays}, 0, 0, 0, result{10 * time.Second, true}},
		{"Retry-After moves it later", retry.Policy{Delays: twoDelays}, 1, time.Minute, 0, result{time.Minute, true}},
		{"Retry-After never moves it earlier", retry.Policy{Delays: twoDelays}, 1, time.Second, 0, result{10 * time.Second, true}},
		{"Retry-After counts as at most an hour", retry.Policy{Delays: twoDelays}, 1, 100 * time.Hour, 0, result{time.Hour, true}},
		{"a delay beyond the hour stays", retry.Policy{Delays: twoDelays}, 2, 100 * time.Hour, 0, result{2 * time.Hour, true}},
		{"Retry-After adds no attempt", retry.Policy{Delays: twoDelays}, 3, time.Minute, 0, result{}},
		{"jitter lengthens by its share", retry.Policy{Delays: twoDelays, JitterPercent: 20}, 1, 0, 0.5, result{11 * time.Second, true}},
		{"jitter does not touch Retry-After", retry.Policy{Delays: twoDelays, JitterPercent: 100}, 1, time.Minute, 0.5, result{time.Minute, true}},
		{"jitter without a percentage does nothing", retry.Policy{Delays: twoDelays}, 1, 0, 0.9, result{10 * time.Second, true}},
		{"jitter below its range never shortens", retry.Policy{Delays: twoDelays, JitterPercent: 50}, 1, 0, -3, result{10 * time.Second, true}},
		{"jitter above its range at most doubles", retry.Policy{Delays: twoDelays, JitterPercent: 100}, 1, 0, 9, result{20 * time.Second, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var notBefore time.Time
			if tt.notBefore != 0 {
				notBefore = ended.Add(tt.notBefore)
			}
			at, ok := tt.policy.NextAttempt(tt.attempt, ended, notBefore, tt.jitter)
			got := result{OK: ok}
			if ok {
				got.After = at.Sub(ended)
			} else if !at.IsZero() {
				t.Errorf("time %v without a next attempt", at)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestJitterIsStableAndSpread(t *testing.T) {
	// The literal pins the function: another value after an upgrade would move
	// the due times of every delivery in flight.
	if got, want := retry.Jitter("5f1c1a52-6d0e-4a57-9d0e-0d5be9a3c001", 1), 0.015953730213366546; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	var buckets [10]int
	const uids, attempts = 1000, 4
	for uid := range uids {
		for attempt := range attempts {
			j := retry.Jitter(string(rune('a'+uid)), attempt+1)
			if j < 0 || j >= 1 {
				t.Fatalf("jitter %v is outside [0,1)", j)
			}
			buckets[int(j*10)]++
		}
	}
	for i, n := range buckets {
		if n < 300 || n > 500 { // 400 expected
			t.Errorf("bucket %d holds %d of %d", i, n, uids*attempts)
		}
	}
}
