// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"fmt"
	"testing"
	"time"
)

func TestSharesBoundEachState(t *testing.T) {
	for name, c := range map[string]struct {
		used [States]int // Healthy, Unproven, Slow, Hanging
		want [Priorities]int
	}{
		"nothing taken":                      {[States]int{}, [Priorities]int{64, 32, 16, 32, 8}},
		"by busy healthy ones":               {[States]int{32, 0, 0, 0}, [Priorities]int{32, 0, 16, 32, 8}},
		"by slow ones":                       {[States]int{0, 0, 32, 0}, [Priorities]int{32, 16, 16, 0, 0}},
		"by slow and unproven ones":          {[States]int{0, 16, 32, 0}, [Priorities]int{16, 16, 0, 0, 0}},
		"by hanging ones":                    {[States]int{0, 0, 0, 8}, [Priorities]int{56, 24, 16, 24, 0}},
		"by all, a quarter left for healthy": {[States]int{0, 8, 40, 0}, [Priorities]int{16, 16, 0, 0, 0}},
		"by all":                             {[States]int{16, 16, 32, 0}, [Priorities]int{}},
		"by attempts that turned slow":       {[States]int{0, 0, 64, 0}, [Priorities]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			shares := NewShares(64).WithBusy(4)
			q := NewQuota(&shares)
			for state, n := range c.used {
				for range n {
					q.Take(State(state))
				}
			}
			var got [Priorities]int
			for p := range Priority(Priorities) {
				got[p] = q.Available(p)
			}
			if got != c.want {
				t.Errorf("available %v, want %v", got, c.want)
			}
		})
	}
}

// A bound of any size lets one attempt of each kind start.
func TestSmallSharesHaveASlotForEachPriority(t *testing.T) {
	for size := 1; size < 16; size++ {
		shares := NewShares(size).WithBusy(4)
		q := NewQuota(&shares)
		for p := range Priority(Priorities) {
			if q.Available(p) < 1 {
				t.Errorf("%d slots have none for priority %d", size, p)
			}
		}
	}
}

// Endpoints that hang are probed in an eighth of the slots, beside which slow and unproven ones have theirs.
func TestHangingEndpointsAreProbedInAnEighth(t *testing.T) {
	l := NewLimiter(Limits{Rules: firstAttemptRules(), Slots: 32, PerDestination: 64})
	now := time.Unix(1e9, 0)
	start := func(name string) (*Endpoint, *Slot) {
		e := &Endpoint{}
		l.Add(e, name, name+".example.com:443")
		got, _ := l.Acquire(e, now)
		return e, got
	}
	var hanging []*Endpoint
	for i := range 12 {
		e, got := start(fmt.Sprint("hangs", i))
		for range 2 {
			now = now.Add(10 * s)
			l.MarkSlow(now)
			l.ReleaseWithResult(got, Result{TimedOut: true}, 10*s, now)
			now = now.Add(maxSlowOpen)
			got, _ = l.Acquire(e, now)
		}
		l.Release(got, now)
		hanging = append(hanging, e)
	}
	probes := 0
	for _, e := range hanging {
		if got, _ := l.Acquire(e, now); got != nil {
			probes++
		}
	}
	if probes != 4 {
		t.Errorf("%d probes are under way, want 4", probes)
	}
	if _, got := start("new"); got == nil {
		t.Error("an unproven endpoint gets no slot beside those that hang")
	}
}
