// SPDX-License-Identifier: Apache-2.0

package health_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/health"
)

// hour is a moment, counted in hours from an arbitrary one.
func hour(h int) time.Time { return time.Date(2026, 3, 1, h, 0, 0, 0, time.UTC) }

type event struct {
	outcome health.Outcome
	at      int // hours
}

const (
	ok   = health.Succeeded
	fail = health.Failed
	gone = health.Gone
)

func observe(f health.Facts, events []event) health.Facts {
	for _, e := range events {
		f = health.Observe(f, e.outcome, hour(e.at))
	}
	return f
}

func TestObserve(t *testing.T) {
	tests := []struct {
		name   string
		events []event
		want   health.Facts
	}{
		{"nothing", nil, health.Facts{}},
		{"a success", []event{{ok, 1}}, health.Facts{LastSuccess: hour(1)}},
		{"a failure is the first and the last", []event{{fail, 1}}, health.Facts{FirstFailure: hour(1), LastFailure: hour(1)}},
		{"more failures move the last", []event{{fail, 1}, {fail, 2}, {fail, 5}}, health.Facts{FirstFailure: hour(1), LastFailure: hour(5)}},
		{"failures out of order", []event{{fail, 5}, {fail, 1}, {fail, 2}}, health.Facts{FirstFailure: hour(1), LastFailure: hour(5)}},
		{"a success ends the series", []event{{fail, 1}, {ok, 2}}, health.Facts{LastSuccess: hour(2), LastFailure: hour(1)}},
		{"a series begins after the success", []event{{fail, 1}, {ok, 2}, {fail, 3}, {fail, 4}}, health.Facts{LastSuccess: hour(2), FirstFailure: hour(3), LastFailure: hour(4)}},
		{"an older success does not erase later failures", []event{{fail, 3}, {ok, 2}}, health.Facts{LastSuccess: hour(2), FirstFailure: hour(3), LastFailure: hour(3)}},
		{"a late success cuts the series to what is known after it", []event{{fail, 1}, {fail, 4}, {ok, 2}}, health.Facts{LastSuccess: hour(2), FirstFailure: hour(4), LastFailure: hour(4)}},
		{"a failure heard of again mends the cut series", []event{{fail, 1}, {fail, 3}, {fail, 4}, {ok, 2}, {fail, 3}}, health.Facts{LastSuccess: hour(2), FirstFailure: hour(3), LastFailure: hour(4)}},
		{"a late failure before the success does not count", []event{{ok, 2}, {fail, 1}}, health.Facts{LastSuccess: hour(2), LastFailure: hour(1)}},
		{"an older success changes nothing", []event{{ok, 2}, {ok, 1}}, health.Facts{LastSuccess: hour(2)}},
		{"a 410 is a failure too", []event{{fail, 1}, {gone, 2}}, health.Facts{FirstFailure: hour(1), LastFailure: hour(2), GoneAt: hour(2)}},
		{"an outcome that is none", []event{{0, 1}}, health.Facts{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := observe(health.Facts{}, tt.events); got != tt.want {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestEvaluate(t *testing.T) {
	const active, failing, disabled = health.Active, health.Failing, health.Disabled
	never := time.Duration(0)
	tests := []struct {
		name   string
		prev   health.State
		events []event
		after  time.Duration
		now    int // hours
		want   health.State
	}{
		{"nothing is known of a new webhook", "", nil, 120 * time.Hour, 0, active},
		{"no news keep active", active, nil, 120 * time.Hour, 0, active},
		{"no news keep failing", failing, nil, 120 * time.Hour, 0, failing},
		{"no news keep disabled", disabled, nil, 120 * time.Hour, 0, disabled},
		{"a success", active, []event{{ok, 1}}, 120 * time.Hour, 1, active},
		{"one failure", active, []event{{fail, 1}}, 120 * time.Hour, 1, failing},
		{"a failure after a success", active, []event{{ok, 1}, {fail, 2}}, 120 * time.Hour, 2, failing},
		{"a success after a failure", failing, []event{{fail, 1}, {ok, 2}}, 120 * time.Hour, 2, active},
		{"a late success before the failure", failing, []event{{fail, 2}, {ok, 1}}, 120 * time.Hour, 2, failing},
		{"a success at the moment of the failure", failing, []event{{fail, 2}, {ok, 2}}, 120 * time.Hour, 2, active},
		{"failures just under 120 h apart", failing, []event{{fail, 0}, {fail, 119}}, 120 * time.Hour, 119, failing},
		{"failures 120 h apart", failing, []event{{fail, 0}, {fail, 120}}, 120 * time.Hour, 120, disabled},
		{"two failures suffice, but not one", active, []event{{fail, 0}}, 120 * time.Hour, 200, failing},
		{"a success between", failing, []event{{fail, 0}, {ok, 60}, {fail, 120}}, 120 * time.Hour, 120, failing},
		{"a success between that arrives last", failing, []event{{fail, 0}, {fail, 120}, {ok, 60}}, 120 * time.Hour, 120, failing},
		{"a success before both", failing, []event{{ok, 0}, {fail, 1}, {fail, 121}}, 120 * time.Hour, 121, disabled},
		{"the latest is 23 h old", failing, []event{{fail, 0}, {fail, 120}}, 120 * time.Hour, 143, disabled},
		{"the latest is 24 h old", failing, []event{{fail, 0}, {fail, 120}}, 120 * time.Hour, 144, failing},
		{"the latest lies ahead of the clock", failing, []event{{fail, 0}, {fail, 120}}, 120 * time.Hour, 119, disabled},
		{"another limit", failing, []event{{fail, 0}, {fail, 2}}, 2 * time.Hour, 2, disabled},
		{"no limit", failing, []event{{fail, 0}, {fail, 1000}}, never, 1000, failing},
		{"a negative limit is none", failing, []event{{fail, 0}, {fail, 1000}}, -time.Hour, 1000, failing},
		{"a 410", active, []event{{gone, 1}}, 120 * time.Hour, 1, disabled},
		{"a 410 without a limit", active, []event{{gone, 1}}, never, 1, disabled},
		{"a 410 long ago", active, []event{{gone, 1}}, 120 * time.Hour, 1000, disabled},
		{"a success after a 410, still in flight then", active, []event{{gone, 1}, {ok, 2}}, 120 * time.Hour, 2, disabled},
		{"a success does not enable", disabled, []event{{fail, 1}, {ok, 2}}, 120 * time.Hour, 2, disabled},
		{"the news age and it stays disabled", disabled, []event{{fail, 0}, {fail, 120}}, 120 * time.Hour, 1000, disabled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := observe(health.Facts{}, tt.events)
			if got := health.Evaluate(tt.prev, f, tt.after, hour(tt.now)); got != tt.want {
				t.Errorf("got %s, want %s; facts %+v", got, tt.want, f)
			}
		})
	}
}

func TestEnableStartsAfresh(t *testing.T) {
	const after = 120 * time.Hour
	before := observe(health.Facts{}, []event{{ok, 0}, {fail, 1}, {fail, 130}, {gone, 131}})
	enabled := health.Enable(before, hour(140))
	tests := []struct {
		name   string
		events []event
		now    int // hours
		want   health.State
	}{
		{"at once", nil, 140, health.Active},
		{"after a late 410 from before", []event{{gone, 139}}, 140, health.Active},
		{"after a late failure from before", []event{{fail, 135}}, 140, health.Active},
		{"after a new failure", []event{{fail, 141}}, 141, health.Failing},
		{"after new failures 120 h from the old but not from each other", []event{{fail, 141}, {fail, 259}}, 259, health.Failing},
		{"after new failures 120 h apart", []event{{fail, 141}, {fail, 261}}, 261, health.Disabled},
		{"after a new 410", []event{{gone, 141}}, 141, health.Disabled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := observe(enabled, tt.events)
			if got := health.Evaluate(health.Active, f, after, hour(tt.now)); got != tt.want {
				t.Errorf("got %s, want %s; facts %+v", got, tt.want, f)
			}
		})
	}
	if again := health.Enable(enabled, hour(139)); again != enabled {
		t.Errorf("an older request changed %+v to %+v", enabled, again)
	}
	if enabled.LastSuccess != hour(0) || enabled.LastFailure != hour(131) {
		t.Errorf("enabling changed what happened: %+v", enabled)
	}
}

func TestEvaluateReadsFactsPutTogetherByHand(t *testing.T) {
	tests := []struct {
		name  string
		facts health.Facts
		want  health.State
	}{
		{"without the first failure the last stands for it", health.Facts{LastFailure: hour(120)}, health.Failing},
		{"a first failure before the success does not count", health.Facts{FirstFailure: hour(0), LastSuccess: hour(60), LastFailure: hour(120)}, health.Failing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := health.Evaluate(health.Active, tt.facts, 120*time.Hour, hour(120)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestOrderAndSourcesDoNotMatter splits histories at random between sources,
// shuffles them, tells parts twice, and compares with the history told once in
// order of time.
func TestOrderAndSourcesDoNotMatter(t *testing.T) {
	const seed = 20260301
	r := rand.New(rand.NewPCG(seed, seed))
	severity := map[health.State]int{health.Active: 0, health.Failing: 1, health.Disabled: 2}
	var late int
	for round := range 5000 {
		history := make([]event, r.IntN(8)+1)
		for i := range history {
			history[i] = event{[]health.Outcome{ok, fail, fail, gone}[r.IntN(4)], r.IntN(40)}
		}
		inOrder := slices.SortedStableFunc(slices.Values(history), func(a, b event) int { return cmp.Compare(a.at, b.at) })
		want := observe(health.Facts{}, inOrder)

		sources := make([]health.Facts, r.IntN(3)+1)
		for range 2 {
			for _, i := range r.Perm(len(history)) {
				s := &sources[r.IntN(len(sources))]
				*s = health.Observe(*s, history[i].outcome, hour(history[i].at))
			}
		}
		var got health.Facts
		for _, s := range sources {
			got = health.Merge(got, s)
		}

		exact := func(f health.Facts) health.Facts { f.FirstFailure = time.Time{}; return f }
		if exact(got) != exact(want) || got.FirstFailure.IsZero() != want.FirstFailure.IsZero() || got.FirstFailure.Before(want.FirstFailure) {
			t.Fatalf("seed %d round %d: %v\ngot  %+v\nwant %+v", seed, round, history, got, want)
		}
		if got.FirstFailure != want.FirstFailure {
			late++
		}
		const after = 20 * time.Hour
		g, w := health.Evaluate(health.Active, got, after, hour(40)), health.Evaluate(health.Active, want, after, hour(40))
		if severity[g] > severity[w] || (g == health.Active) != (w == health.Active) {
			t.Fatalf("seed %d round %d: %v is %s, in order %s", seed, round, history, g, w)
		}
		for _, s := range sources {
			if again := health.Merge(got, s); exact(again) != exact(got) || again.FirstFailure.After(got.FirstFailure) {
				t.Fatalf("seed %d round %d: merging twice changed %+v to %+v", seed, round, got, again)
			}
		}
	}
	t.Logf("in %d of 5000 shuffled histories the first failure was later than the truth", late)
}
