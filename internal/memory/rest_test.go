// SPDX-License-Identifier: Apache-2.0

package memory

import "testing"

func TestRestIsDue(t *testing.T) {
	var r rest
	for i, tt := range []struct {
		allocated, garbage uint64
		want               bool
	}{
		{100 << 20, 90 << 20, false}, // a burst
		{200 << 20, 90 << 20, false},
		{200<<20 + restAllocations, 90 << 20, true}, // and rest
		{201 << 20, restGarbage - 1, false},         // nothing is left to give back
		{203 << 20, restGarbage, false},
		{203 << 20, restGarbage, true},
	} {
		if got := r.due(tt.allocated, tt.garbage); got != tt.want {
			t.Errorf("step %d: %t", i, got)
		}
	}
}

func TestAllocationsCountWhatIsNew(t *testing.T) {
	before, _ := allocations()
	held := make([]byte, 8<<20)
	after, garbage := allocations()
	if after-before < 8<<20 || garbage < 7<<20 {
		t.Errorf("after 8 MiB: %d allocated, %d new", after-before, garbage)
	}
	_ = held[len(held)-1]
}
