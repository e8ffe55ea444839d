// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	for bytes, want := range map[uint64]int{0: 100, 1 << 20: 100, 100 << 20: 100, 200 << 20: 50, 400 << 20: 25, 8 << 30: 25} {
		if got := percentFor(bytes); got != want {
			t.Errorf("%d MiB in use: %d, want %d", bytes>>20, got, want)
		}
	}
}

func TestSave(t *testing.T) {
	before := debug.SetGCPercent(70)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "70")
	Save()
	runtime.GC()
	time.Sleep(50 * time.Millisecond)
	if got := debug.SetGCPercent(100); got != 70 {
		t.Errorf("GOGC of the environment became %d", got)
	}
	t.Setenv("GOGC", "")
	Save() // from here on, for good
	for _, step := range []struct {
		bytes       int
		atMost, not int // the percentage then
	}{{300 << 20, 34, 24}, {1, 100, 99}} {
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
}
