// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	tests := []struct {
		policy collectionPolicy
		want   map[uint64]int
	}{
		{collectionPolicy{percent: 100, headroom: 100 << 20}, map[uint64]int{0: 100, 1 << 20: 100, 100 << 20: 100, 200 << 20: 50, 400 << 20: 25, 8 << 30: 25}},
		{collectionPolicy{percent: 400, headroom: 200 << 20}, map[uint64]int{0: 400, 50 << 20: 400, 100 << 20: 200, 200 << 20: 100, 8 << 30: 25}},
	}
	for _, tt := range tests {
		for bytes, want := range tt.want {
			if got := tt.policy.percentFor(bytes); got != want {
				t.Errorf("%+v, %d MiB in use: %d, want %d", tt.policy, bytes>>20, got, want)
			}
		}
	}
}

func TestPoliciesFollowWhatIsInUse(t *testing.T) {
	type step struct {
		bytes       int
		not, atMost int // the percentage then
	}
	tests := []struct {
		name   string
		policy collectionPolicy
		steps  []step
	}{
		{"save", frequentCollection(), []step{{300 << 20, 24, 34}, {1, 99, 100}}},
		{"spend", rareCollection(rareHeadroom), []step{{300 << 20, 24, 67}, {1, 399, 400}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := debug.SetGCPercent(70)
			defer debug.SetGCPercent(before)
			t.Setenv("GOGC", "70")
			stop := tt.policy.apply()
			runtime.GC()
			time.Sleep(50 * time.Millisecond)
			if got := debug.SetGCPercent(100); got != 70 {
				t.Errorf("GOGC of the environment became %d", got)
			}
			stop()
			t.Setenv("GOGC", "")
			defer tt.policy.apply()()
			for _, step := range tt.steps {
				held := make([]byte, step.bytes)
				for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
					runtime.GC()
					got := debug.SetGCPercent(100)
					debug.SetGCPercent(got)
					if got > step.not && got <= step.atMost {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("with %d MiB in use: %d", step.bytes>>20, got)
					}
				}
				runtime.KeepAlive(held)
			}
		})
	}
}
