// SPDX-License-Identifier: Apache-2.0

package backlog

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var seeds = flag.Int("seeds", 20, "how many random histories to try")

// history is a lot in a log, an endpoint that is up or down, and leaders that crash at
// any step. It checks what must hold whatever happens.
type history struct {
	t      *testing.T
	random *rand.Rand
	now    time.Time

	log      []message // what is not trimmed
	sequence uint64

	events   map[string]*event
	endpoint ResultKind // of those that are not poison
	crashes  bool
	leader   *leader
	former   *leader // lost its lease, and starts nothing more
}

type message struct {
	sequence uint64
	frames   []Frame
}

// event is what the model knows of one delivery.
type event struct {
	poison   bool
	attempts int       // that were counted
	ended    bool      // for good, or in an object
	success  time.Time // of an attempt
	leader   *leader   // that saw the success
	copies   int       // in the log
	twice    bool      // after a crash
}

// leader is the process that drains the lot, and all that it remembers.
type leader struct {
	*Lot

	underWay  []*flight
	parkedOne bool      // since the lot was empty
	success   time.Time // the latest
	probed    time.Time // the latest probe began
	released  bool      // since then
	duplicate int
	told      time.Time // the end of a Retry-After
	held      bool
}

type flight struct {
	entry *Entry
	probe bool
	ends  time.Time
	kind  ResultKind
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, random: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(1e9, 0), events: map[string]*event{}, crashes: true}
	h.lead()
	return h
}

func (h *history) chance(percent int) bool { return h.random.IntN(100) < percent }

// lead begins the lead of a process that remembers nothing.
func (h *history) lead() {
	for _, e := range h.events { // moved, and not yet trimmed where it was
		e.twice = e.twice || e.copies > 1
	}
	if h.leader != nil && h.leader.duplicate > MaxUntrimmed+64 {
		h.t.Errorf("%d were sent twice after one crash", h.leader.duplicate)
	}
	h.leader = &leader{Lot: NewLot(1, 0, h.now), held: h.leader != nil && h.leader.held}
	if h.leader.held {
		h.leader.Hold()
	}
}

// mayCrash ends a process now and then, or its lead.
func (h *history) mayCrash(l *leader) bool {
	if !h.crashes || h.random.IntN(400) > 0 {
		return false
	}
	if l == h.former {
		h.former = nil
		return true
	}
	if h.chance(30) {
		h.former = l
		h.lead()
		return false
	}
	for _, each := range l.underWay { // the endpoint may have got them
		if each.kind == Succeeded && h.chance(50) {
			h.deliver(h.events[each.entry.EventID], nil)
		}
	}
	h.lead()
	return true
}

func (h *history) deliver(e *event, by *leader) {
	e.success, e.leader = h.now, by
}

func (h *history) publish(n int) {
	for n > 0 {
		m := message{sequence: h.nextSequence()}
		for range min(n, 1+h.random.IntN(16)) {
			id := fmt.Sprint("evt_", len(h.events))
			h.events[id] = &event{poison: h.chance(2)}
			m.frames = append(m.frames, Frame{EventID: id})
			n--
		}
		h.append(m)
	}
}

func (h *history) append(m message) {
	for _, frame := range m.frames {
		h.events[frame.EventID].copies++
	}
	h.log = append(h.log, m)
}

func (h *history) nextSequence() uint64 {
	h.sequence += 1 + h.random.Uint64N(3) // others' messages lie between
	return h.sequence
}

// step lets some time pass and does all that a leader does.
func (h *history) step() {
	if former := h.former; former != nil {
		h.finish(former)
		if h.chance(2) {
			h.former = nil
		}
	}
	h.read()
	if leader := h.leader; !h.finish(leader) && leader == h.leader {
		h.start()
	}
	h.now = h.now.Add(time.Duration(h.random.IntN(200)) * time.Millisecond)
}

// finish ends what a process has begun, and reports whether it crashed.
func (h *history) finish(l *leader) (crashed bool) {
	return h.end(l) || h.carryOut(l) || h.trim(l)
}

func (h *history) read() {
	for _, m := range h.log {
		if h.leader.Room() > 0 {
			h.leader.Add(m.sequence, m.frames)
		}
	}
}

// start starts what may start.
func (h *history) start() {
	l := h.leader
	for range 1 + h.random.IntN(64) {
		state := l.State(h.now)
		entry, again := l.Next(h.now)
		if entry == nil {
			if !again.IsZero() && again.Before(h.now) {
				h.t.Fatalf("%s: ask again %s ago", state, h.now.Sub(again))
			}
			return
		}
		h.checkStart(state, entry)
		each := &flight{entry: entry, probe: l.Start(entry, h.now)}
		each.kind = h.endpoint
		if h.events[entry.EventID].poison && each.kind == Succeeded {
			each.kind = Answered
		}
		each.ends = h.now.Add(time.Duration(1+h.random.IntN(50)) * time.Millisecond)
		if each.kind == NoAnswer {
			each.ends = h.now.Add(10 * time.Second)
		}
		if each.probe {
			l.probed, l.released = h.now, false
		}
		l.underWay = append(l.underWay, each)
	}
}

// checkStart checks that an attempt may start.
func (h *history) checkStart(state State, entry *Entry) {
	l, e := h.leader, h.events[entry.EventID]
	if state == Held || l.held || state == Waiting || h.now.Before(l.told) {
		h.t.Errorf("an attempt while the lot is %s", state)
	}
	if state == Parked {
		if gap := h.now.Sub(l.probed); gap < FirstProbe && !l.released {
			h.t.Errorf("a probe %s after the last one", gap)
		}
		for _, each := range l.underWay {
			if each.probe {
				h.t.Error("two probes at a time")
			}
		}
	}
	if entry.Attempts > 0 && h.now.Before(entry.NotBefore) {
		h.t.Errorf("attempt %d begins %s early", entry.Attempts+1, entry.NotBefore.Sub(h.now))
	}
	if place := entry.ordinal - l.entries[l.firstUnsettled()].ordinal; place >= MaxUntrimmed {
		h.t.Errorf("started %d after the oldest unsettled one", place)
	}
	if !e.success.IsZero() {
		if e.leader == l && !e.twice {
			h.t.Errorf("%s is sent again by the leader that saw its success", entry.EventID)
		}
		l.duplicate++
	}
}

// end ends attempts whose time has come.
func (h *history) end(l *leader) (crashed bool) {
	for i := 0; i < len(l.underWay); i++ {
		each := l.underWay[i]
		if h.now.Before(each.ends) {
			continue
		}
		l.underWay = append(l.underWay[:i], l.underWay[i+1:]...)
		i--
		if each.kind == Succeeded {
			h.deliver(h.events[each.entry.EventID], l)
			l.success = h.now
		}
		if h.mayCrash(l) {
			return true
		}
		result := Result{Kind: each.kind}
		if each.kind == Throttled && h.chance(30) {
			result.RetryAfter = h.now.Add(time.Duration(h.random.IntN(20)) * time.Second)
			if result.RetryAfter.After(l.told) || h.now.Before(result.RetryAfter) {
				l.told = result.RetryAfter
			}
		}
		decided := len(l.decisions)
		l.End(each.entry, result, h.now)
		for _, d := range l.decisions[decided:] {
			if d.Kind == Retry && l.parkedOne && d.Entry.failure.at.IsZero() && d.Entry.Attempts == 0 {
				h.t.Errorf("a failure of %s is judged at once though the lot was parked", d.Entry.EventID)
			}
		}
		if l.State(h.now) == Parked {
			if !l.parkedOne {
				l.probed = h.now
			}
			l.parkedOne = true
		}
	}
	return false
}

// carryOut carries out decisions, as its caller does.
func (h *history) carryOut(l *leader) (crashed bool) {
	for _, d := range l.Decisions(h.now) {
		e := h.events[d.Entry.EventID]
		if failed := d.Entry.failure.at; d.Kind == Retry && l.success.Before(failed) {
			h.t.Errorf("attempt %d of %s counts though nothing has succeeded since", d.Entry.Attempts+1, d.Entry.EventID)
		}
		if h.chance(5) { // the log or the API server does not take it
			l.Keep(d.Entry)
			continue
		}
		frame := d.Entry.Frame
		if d.Kind == Retry {
			frame.Attempts++
			frame.NotBefore = h.now.Add(time.Duration(5*frame.Attempts*frame.Attempts) * time.Second)
			e.attempts++
		}
		switch {
		case d.Kind == Retry && (frame.Attempts >= 5 || h.chance(30)):
			e.ended = true
		default:
			e.twice = e.twice || l != h.leader
			h.append(message{sequence: h.nextSequence(), frames: []Frame{frame}})
		}
		if h.mayCrash(l) {
			return true
		}
		l.Settle(d.Entry, h.now)
	}
	return false
}

// trim trims the log.
func (h *history) trim(l *leader) (crashed bool) {
	upTo, _ := l.Position(h.now)
	if upTo == 0 {
		return false
	}
	if h.mayCrash(l) {
		return true
	}
	for len(h.log) > 0 && h.log[0].sequence <= upTo {
		h.checkTrimmed(h.log[0])
		h.log = h.log[1:]
	}
	if h.mayCrash(l) {
		return true
	}
	l.Trimmed(upTo, h.now)
	if l.IsEmpty() {
		l.parkedOne = false
	}
	return false
}

// checkTrimmed checks that all of a message has another home, or needs none.
func (h *history) checkTrimmed(m message) {
	for _, frame := range m.frames {
		if e := h.events[frame.EventID]; e.success.IsZero() && !e.ended && e.copies < 2 {
			h.t.Errorf("%s is lost", frame.EventID)
		}
		h.events[frame.EventID].copies--
	}
}

// change changes what surrounds the leader.
func (h *history) change() {
	switch h.random.IntN(40) {
	case 0, 1:
		h.publish(h.random.IntN(300))
	case 2:
		h.endpoint = []ResultKind{Succeeded, Succeeded, Answered, Throttled, NoAnswer}[h.random.IntN(5)]
	case 3:
		h.now = h.now.Add(time.Duration(h.random.IntN(60)) * time.Second)
	case 4:
		h.leader.held = true
		h.leader.Hold()
	case 5, 6, 7:
		h.release()
	}
}

func (h *history) release() {
	h.leader.held, h.leader.released, h.leader.told = false, true, time.Time{}
	h.leader.Release(h.now)
}

// TestLotHistories tries random histories: nothing is lost, nothing is sent again but after a
// crash, an outage uses no attempts, and all is drained in the end.
func TestLotHistories(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := newHistory(t, uint64(seed))
			h.publish(1000)
			for range 3000 {
				h.change()
				h.step()
				if t.Failed() {
					return
				}
			}
			h.endpoint, h.crashes, h.former = Succeeded, false, nil
			h.release()
			for i := 0; i < 100_000 && len(h.log) > 0; i++ {
				if i%1000 == 999 { // what only waits behind poison shows that the endpoint is up
					h.publish(1)
				}
				h.step()
			}
			if len(h.log) > 0 {
				state := h.leader.State(h.now)
				t.Fatalf("%d messages are left, and %d attempts under way, of a lot that is %s", len(h.log), h.leader.UnderWay(), state)
			}
			for id, e := range h.events {
				if e.success.IsZero() && !e.ended {
					t.Errorf("%s was neither delivered nor ended", id)
				}
			}
		})
	}
}
