// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestMemoryIsGivenBackOnceAProcessIsQuiet(t *testing.T) {
	const mib = 1 << 20
	now, freed := heap{}, 0
	g := giver{}
	g.free = func() { freed, now.resident = freed+1, 30*mib }
	for i, step := range []struct {
		allocates, resident uint64
		want                int
	}{
		{300 * mib, 280 * mib, 0}, // a burst
		{300 * mib, 290 * mib, 0},
		{1 * mib, 290 * mib, 1}, // quiet
		{1 * mib, 31 * mib, 1},  // there is nothing to give back
		{10 * mib, 41 * mib, 1}, // little more than was needed
		{10 * mib, 42 * mib, 2},
		{100 * mib, 200 * mib, 2}, // busy again
	} {
		now.allocated, now.resident = now.allocated+step.allocates, step.resident
		g.look(func() heap { return now })
		if freed != step.want {
			t.Fatalf("step %d: given back %d times, want %d", i, freed, step.want)
		}
	}
}

var kept []byte

func TestWhatABurstLeavesIsGivenBack(t *testing.T) {
	kept = make([]byte, 200<<20)
	for i := range kept {
		kept[i] = 1
	}
	before := readHeap().resident
	kept = nil
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*giveBackEvery)
		defer cancel()
		GiveBack(ctx)
	})
	if after := readHeap().resident; after > before-150<<20 {
		t.Errorf("%d MiB are resident, %d MiB were before", after>>20, before>>20)
	}
}
