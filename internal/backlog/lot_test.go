// SPDX-License-Identifier: Apache-2.0

package backlog

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// scene is a Lot and the time.
type scene struct {
	*Lot

	t   *testing.T
	now time.Time
}

// newScene returns a scene with so many entries, one a message.
func newScene(t *testing.T, entries int) *scene {
	s := &scene{t: t, now: time.Unix(1e9, 0)}
	s.Lot = NewLot(1, 0, s.now)
	for i := range entries {
		s.Add(uint64(i+1), []Frame{{EventID: fmt.Sprint(i)}})
	}
	return s
}

func (s *scene) pass(d time.Duration) { s.now = s.now.Add(d) }

// start starts an attempt, which must be that of an entry.
func (s *scene) start(want string) *Entry {
	s.t.Helper()
	entry, _ := s.Next(s.now)
	if entry == nil || entry.EventID != want {
		s.t.Fatalf("next is %v, want %s", entry, want)
	}
	s.Start(entry, s.now)
	return entry
}

// attempt makes one attempt.
func (s *scene) attempt(want string, kind ResultKind) *Entry {
	s.t.Helper()
	entry := s.start(want)
	s.End(entry, Result{Kind: kind}, s.now)
	return entry
}

// park fails attempts until the lot is parked.
func (s *scene) park() {
	s.t.Helper()
	for i := range unansweredToPark {
		s.attempt(fmt.Sprint(i), NoAnswer)
	}
	for _, d := range s.Decisions(s.now) {
		s.Keep(d.Entry)
	}
	s.is(Parked)
}

func (s *scene) is(want State) {
	s.t.Helper()
	if got := s.State(s.now); got != want {
		s.t.Errorf("the lot is %s, want %s", got, want)
	}
}

// isIdleUntil expects that nothing starts before some time has passed.
func (s *scene) isIdleUntil(d time.Duration) {
	s.t.Helper()
	entry, again := s.Next(s.now)
	if entry != nil || again.Sub(s.now) != d {
		s.t.Errorf("next is %v, else in %s, want in %s", entry, again.Sub(s.now), d)
	}
}

// decided expects decisions of one kind about these entries.
func (s *scene) decided(kind DecisionKind, want ...string) []Decision {
	s.t.Helper()
	decisions := s.Decisions(s.now)
	var got []string
	for _, d := range decisions {
		if d.Kind != kind {
			s.t.Errorf("decision %d about %s, want %d", d.Kind, d.Entry.EventID, kind)
		}
		got = append(got, d.Entry.EventID)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("decisions about %v, want %v", got, want)
	}
	return decisions
}

func TestProbesOfALotComeLessOften(t *testing.T) {
	s := newScene(t, 10)
	s.park()
	for i, wait := range []int64{5000, 7500, 11250, 16875, 25312, 30000, 30000} {
		entry, again := s.Next(s.now)
		if got := again.Sub(s.now).Milliseconds(); entry != nil || got != wait {
			t.Fatalf("probe %d: %v, in %d ms, want in %d", i, entry, got, wait)
		}
		s.now = again
		entry, _ = s.Next(s.now)
		if !s.Start(entry, s.now) {
			t.Error("it is no probe")
		}
		if other, _ := s.Next(s.now); other != nil {
			t.Error("two probes at a time")
		}
		s.End(entry, Result{Kind: Answered}, s.now)
		s.decided(Retry)
	}
	s.Release(s.now) // another url
	s.start("9")
}

func TestProbesTakeTheOldestThreeTimesThenTheNewest(t *testing.T) {
	s := newScene(t, 10)
	s.park()
	var got []string
	for range 8 {
		_, s.now = s.Next(s.now)
		entry, _ := s.Next(s.now)
		got = append(got, entry.EventID)
		s.Start(entry, s.now)
		s.End(entry, Result{Kind: NoAnswer}, s.now)
	}
	if want := []string{"0", "0", "0", "9", "1", "1", "1", "9"}; !slices.Equal(got, want) {
		t.Errorf("probes of %v, want %v", got, want)
	}
}

func TestALotIsParkedAfter(t *testing.T) {
	tests := []struct {
		name    string
		results string // s: succeeded, a: answered, t: throttled, n: no answer
		want    State
	}{
		{"four without an answer", "nnnn", Draining},
		{"five without an answer, or throttled", "nntnt", Parked},
		{"five without an answer, not in a row", "nnnnann", Draining},
		{"nineteen refusals", "aaaaaaaaaaaaaaaaaaa", Draining},
		{"twenty refusals", "aaaaaaaaaaaaaaaaaaaa", Parked},
		{"four of twenty succeed", "ssssaaaaaaaaaaaaaaaa", Parked},
		{"five of twenty succeed", "sssssaaaaaaaaaaaaaaa", Draining},
		{"the last twenty count", "sssssaaaaaaaaaaaaaaaa", Parked},
	}
	kinds := map[rune]ResultKind{'s': Succeeded, 'a': Answered, 't': Throttled, 'n': NoAnswer}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, 40)
			for i, each := range tt.results {
				s.is(Draining)
				s.attempt(fmt.Sprint(i), kinds[each])
			}
			s.is(tt.want)
		})
	}
}

func TestAttemptsAtATime(t *testing.T) {
	s := newScene(t, 2000)
	s.park()
	s.pass(FirstProbe)
	s.attempt("0", Succeeded)
	s.is(Draining)
	for _, want := range []int{1, 2, 4, 8, 16, 32, 32} {
		var underWay []*Entry
		for {
			entry, _ := s.Next(s.now)
			if entry == nil {
				break
			}
			s.Start(entry, s.now)
			underWay = append(underWay, entry)
		}
		if len(underWay) != want {
			t.Fatalf("%d attempts at a time, want %d", len(underWay), want)
		}
		s.pass(time.Second)
		for _, entry := range underWay {
			s.End(entry, Result{Kind: Succeeded}, s.now)
		}
	}
	for _, want := range []int{16, 8} {
		first := s.start(nextID(s))
		second := s.start(nextID(s))
		s.pass(10 * time.Millisecond)
		s.End(first, Result{Kind: Throttled}, s.now)
		s.End(second, Result{Kind: NoAnswer}, s.now) // began before the limit was halved
		if s.ramp.limit != want {
			t.Errorf("limit %d after failures, want %d", s.ramp.limit, want)
		}
	}
}

func nextID(s *scene) string {
	entry, _ := s.Next(s.now)
	return entry.EventID
}

// TestAnAttemptThatHangsIsNoSuccess: a ramp does not climb while nothing comes back.
func TestAnAttemptThatHangsIsNoSuccess(t *testing.T) {
	s := newScene(t, 10)
	s.start("0")
	s.pass(10 * time.Second)
	if entry, _ := s.Next(s.now); entry != nil {
		t.Errorf("%s starts beside an attempt that hangs", entry.EventID)
	}
}

func TestFailuresAreJudged(t *testing.T) {
	t.Run("at once if the lot was not parked", func(t *testing.T) {
		s := newScene(t, 10)
		s.attempt("0", Answered)
		s.decided(Retry, "0")
	})
	drainingAgain := func(t *testing.T) *scene {
		s := newScene(t, 10)
		s.park()
		s.pass(FirstProbe)
		s.attempt("0", Succeeded)
		s.attempt("1", Answered)
		s.decided(Retry)
		return s
	}
	t.Run("by the three next attempts: one succeeds", func(t *testing.T) {
		s := drainingAgain(t)
		s.attempt("2", Answered)
		s.attempt("3", Succeeded)
		s.decided(Retry)
		s.attempt("4", Answered)
		s.decided(Retry, "1")
	})
	t.Run("by the three next attempts: none succeeds", func(t *testing.T) {
		s := drainingAgain(t)
		s.attempt("2", Answered)
		s.attempt("3", Answered)
		s.attempt("4", Answered)
		s.decided(Retry)
		s.start("1") // it stays, and has used no attempt
	})
	t.Run("after five seconds", func(t *testing.T) {
		s := drainingAgain(t)
		s.attempt("2", Succeeded)
		s.pass(judgeWithin)
		s.decided(Retry, "1")
	})
	t.Run("when the lot is parked again", func(t *testing.T) {
		s := drainingAgain(t)
		s.attempt("2", NoAnswer)
		s.parking.unanswered = unansweredToPark - 1
		s.attempt("3", NoAnswer)
		s.is(Parked)
		s.decided(Retry)
		s.pass(FirstProbe)
		s.start("1")
	})
}

func TestAProbeThatSucceedsSettles(t *testing.T) {
	s := newScene(t, 10)
	s.park()
	s.pass(FirstProbe)
	s.attempt("0", Succeeded)
	s.pass(trimInterval)
	if upTo, _ := s.Position(s.now); upTo != 1 {
		t.Errorf("trim up to %d, want 1", upTo)
	}
}

func TestRetryAfter(t *testing.T) {
	s := newScene(t, 10)
	entry := s.start("0")
	s.End(entry, Result{Kind: Throttled, RetryAfter: s.now.Add(time.Minute)}, s.now)
	s.is(Waiting)
	s.isIdleUntil(time.Minute)
	s.pass(59 * time.Second)
	s.is(Waiting)
	s.pass(time.Second)
	s.is(Draining)
	s.ramp.limit = 8
	first := s.start("1")
	if entry, _ := s.Next(s.now); entry != nil {
		t.Error("the first attempt after a Retry-After does not go alone")
	}
	s.End(first, Result{Kind: Succeeded}, s.now)
	s.start("2")
	s.start("3")
}

func TestAHeldLotMakesNoAttempts(t *testing.T) {
	s := newScene(t, 10)
	s.Hold()
	s.is(Held)
	s.isIdleUntil(time.Time{}.Sub(s.now))
	s.Release(s.now)
	s.start("0")
}

func TestReleaseEndsARetryAfter(t *testing.T) {
	s := newScene(t, 10)
	entry := s.start("0")
	s.End(entry, Result{Kind: Throttled, RetryAfter: s.now.Add(time.Hour)}, s.now)
	s.Hold()
	s.Release(s.now)
	s.start("1")
}

// TestAnEmptyLotForgetsItsOutage: what fails next is judged at once again.
func TestAnEmptyLotForgetsItsOutage(t *testing.T) {
	s := newScene(t, 5)
	s.park()
	s.pass(FirstProbe)
	for i := range 5 {
		s.attempt(fmt.Sprint(i), Succeeded)
	}
	s.pass(trimInterval)
	upTo, _ := s.Position(s.now)
	s.Trimmed(upTo, s.now)
	s.Add(100, []Frame{{EventID: "new"}})
	s.attempt("new", Answered)
	s.decided(Retry, "new")
}

func TestGoneIsTold(t *testing.T) {
	s := newScene(t, 10)
	s.attempt("0", Gone)
	s.decided(Disable, "0")
}

// TestAnEntryThatFailsAloneEndsByItsPolicy: the last entries of a lot, which the endpoint
// refuses again, do not park it.
func TestAnEntryThatFailsAloneEndsByItsPolicy(t *testing.T) {
	s := newScene(t, 0)
	for i := range 40 {
		s.Add(uint64(i+1), []Frame{{EventID: fmt.Sprint(i), Attempts: 1}})
	}
	s.parking.since = s.now // the lot was parked before
	for i := range 40 {
		s.attempt(fmt.Sprint(i), Answered)
		s.decided(Retry, fmt.Sprint(i))
	}
	s.is(Draining)
}

func TestAnEntryWaitsForItsTime(t *testing.T) {
	s := newScene(t, 0)
	s.Add(1, []Frame{{EventID: "0", Attempts: 1, NotBefore: s.now.Add(time.Minute)}, {EventID: "1"}})
	s.attempt("1", Succeeded)
	s.isIdleUntil(time.Minute)
	s.pass(time.Minute)
	s.start("0")
}
