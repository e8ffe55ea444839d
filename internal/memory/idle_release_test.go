// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnIdleProcessReleasesMemory(t *testing.T) {
	const mib = 1 << 20
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now, freed := heap{}, 0
	g := idleReleaser{now: func() time.Time { return clock }}
	g.free = func() { freed, now.resident = freed+1, 30*mib }
	for i, step := range []struct {
		allocates, resident uint64
		want                int
	}{
		{300 * mib, 280 * mib, 0}, // a burst
		{300 * mib, 290 * mib, 0},
		{1 * mib, 290 * mib, 1}, // quiet
		{1 * mib, 31 * mib, 1},  // there is nothing to give back
		{4 * mib, 35 * mib, 1},  // little more than was needed
		{4 * mib, 36 * mib, 2},
		{1 * mib, 10 * mib, 2}, // less is needed
		{4 * mib, 14 * mib, 3},
		{100 * mib, 200 * mib, 3}, // busy again
	} {
		now.allocated, now.resident = now.allocated+step.allocates, step.resident
		g.check(func() heap { return now })
		if freed != step.want {
			t.Fatalf("step %d: given back %d times, want %d", i, freed, step.want)
		}
	}
}

func TestReleasesTakeAFiftiethOfTheTimeAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const took = time.Second // a large heap
		now, freed := heap{}, 0
		g := idleReleaser{now: time.Now}
		g.free = func() {
			freed++
			now.resident = 1 << 30
			time.Sleep(took)
		}
		began := time.Now()
		for time.Since(began) < time.Hour { // bursts and rest in turn
			now.allocated, now.resident = now.allocated+1<<30, 2<<30
			g.check(func() heap { return now })
			time.Sleep(checkInterval)
			g.check(func() heap { return now })
			time.Sleep(checkInterval)
		}
		if least, most := int(time.Hour/took/100), int(time.Hour/took/50); freed < least || freed > most {
			t.Errorf("given back %d times in an hour, want %d to %d", freed, least, most)
		}
	})
}

var kept []byte

func TestMemoryOfABurstIsReleased(t *testing.T) {
	kept = make([]byte, 200<<20)
	for i := range kept {
		kept[i] = 1
	}
	before := readHeap().resident
	kept = nil
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*checkInterval)
		defer cancel()
		ReleaseIdle(ctx)
	})
	if after := readHeap().resident; after > before-150<<20 {
		t.Errorf("%d MiB are resident, %d MiB were before", after>>20, before>>20)
	}
}
