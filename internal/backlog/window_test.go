// SPDX-License-Identifier: Apache-2.0

package backlog

import (
	"fmt"
	"testing"
	"time"
)

func TestAnEntryThatIsNotDueIsPostponed(t *testing.T) {
	s := newScene(t, 0)
	s.Add(1, []Frame{{EventID: "late", Attempts: 1, NotBefore: s.now.Add(time.Hour)}})
	for i := range maxBehindWaiting {
		s.decided(Postpone)
		s.Add(uint64(i+2), []Frame{{EventID: fmt.Sprint(i)}})
		s.attempt(fmt.Sprint(i), Succeeded)
	}
	d := s.decided(Postpone, "late")
	s.Settle(d[0].Entry, s.now)
	if upTo, _ := s.Position(s.now); upTo != maxBehindWaiting+1 {
		t.Errorf("trim up to %d, want %d", upTo, maxBehindWaiting+1)
	}
}

func TestNothingStartsFarBeyondTheOldestUnsettled(t *testing.T) {
	s := newScene(t, MaxUntrimmed+10)
	if s.Room() != -10 {
		t.Errorf("room for %d more", s.Room())
	}
	s.ramp.limit = 2
	oldest := s.start("0")
	for i := 1; i < MaxUntrimmed; i++ {
		s.attempt(fmt.Sprint(i), Succeeded)
	}
	if entry, _ := s.Next(s.now); entry != nil {
		t.Errorf("%s starts", entry.EventID)
	}
	s.End(oldest, Result{Kind: Succeeded}, s.now)
	s.start(fmt.Sprint(MaxUntrimmed))
}

func TestPositionIsOfWholeMessages(t *testing.T) {
	s := newScene(t, 0)
	s.Add(10, []Frame{{EventID: "0"}, {EventID: "1"}})
	s.Add(20, []Frame{{EventID: "2"}, {EventID: "3"}})
	s.Add(20, []Frame{{EventID: "again"}}) // was read before
	s.attempt("0", Succeeded)
	s.pass(time.Second)
	s.attempt("1", Succeeded)
	s.attempt("2", Succeeded)
	upTo, again := s.Position(s.now)
	if upTo != 0 || again.Sub(s.now) != trimInterval-time.Second {
		t.Errorf("trim up to %d, else in %s", upTo, again.Sub(s.now))
	}
	s.pass(trimInterval - time.Second)
	if upTo, _ = s.Position(s.now); upTo != 10 {
		t.Fatalf("trim up to %d, want 10", upTo)
	}
	s.Trimmed(10, s.now)
	if upTo, _ = s.Position(s.now); upTo != 0 {
		t.Errorf("trim up to %d though half of the message waits", upTo)
	}
	s.attempt("3", Succeeded)
	s.pass(trimInterval)
	upTo, _ = s.Position(s.now)
	s.Trimmed(upTo, s.now)
	if upTo != 20 || !s.IsEmpty() || s.Read() != 20 {
		t.Errorf("trimmed up to %d, read up to %d", upTo, s.Read())
	}
}

func TestManySettledAreTrimmedAtOnce(t *testing.T) {
	s := newScene(t, trimAfter)
	for i := range trimAfter {
		if upTo, _ := s.Position(s.now); upTo != 0 {
			t.Fatalf("trim up to %d after %d", upTo, i)
		}
		s.attempt(fmt.Sprint(i), Succeeded)
	}
	if upTo, _ := s.Position(s.now); upTo != trimAfter {
		t.Errorf("trim up to %d", upTo)
	}
}
