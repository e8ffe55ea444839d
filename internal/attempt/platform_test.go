// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

func TestNothingStartsWhileTheGateIsClosed(t *testing.T) {
	var open atomic.Bool
	inWorld(t, Options{Gate: open.Load}, func(w *world) {
		w.submit("ns/hook/a")
		w.wait(time.Minute)
		expect(t, "sent while it is closed", w.total(), 0)
		open.Store(true)
		w.wait(gatePoll)
		expect(t, "sent once it is open", w.total(), 1)
	})
}

func TestFewStartWhileThrottled(t *testing.T) {
	var busy atomic.Bool
	busy.Store(true)
	inWorld(t, Options{Throttle: busy.Load}, func(w *world) {
		w.otherwise = status(200, 300*ms)
		w.answers["ns/hangs"] = hangs()
		w.submit("ns/hangs/a", "ns/hook1/a", "ns/hook2/a", "ns/hook3/a")
		w.wait(200 * ms)
		expect(t, "sent at first", w.total(), throttled)
		w.wait(time.Second)
		expect(t, "sent beside one that hangs", w.total(), 4)
		w.wait(time.Second)
		w.submit("ns/hook1/b", "ns/hook2/b", "ns/hook3/b", "ns/hook4/b")
		busy.Store(false)
		w.wait(gatePoll)
		expect(t, "sent once it is over", w.total(), 8)
	})
}

func TestWhatIsBeingPreparedIsPutBackWhenTheGateCloses(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	inWorld(t, Options{Gate: open.Load}, func(w *world) {
		w.prepare = func(context.Context, types.UID) error { time.Sleep(time.Second); return nil }
		w.submit("ns/hook/a", "ns/hook/b")
		w.settleDown()
		expect(t, "phase", w.View("ns/hook/a").Phase, InFlight)
		open.Store(false)
		w.wait(time.Second)
		expect(t, "phase", w.View("ns/hook/a").Phase, Queued)
		open.Store(true)
		w.wait(time.Minute)
		expectList(t, "sent", w.order(), []string{"ns/hook/a", "ns/hook/b"})
	})
}

func TestNothingStartsWhileTheAPIServerCannotBeReached(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.silent = true
		w.submit("ns/waits/to-be-written")
		w.wait(time.Second)
		w.Unreachable()
		w.wait(2*time.Second - ms)
		w.submit("ns/hook/a")
		w.settleDown()
		expect(t, "sent after less than 2 s", w.count("ns/hook"), 1)
		w.Unreachable()
		w.wait(ms)
		expect(t, "stalled", w.Stats().Stalled, true)
		w.submit("other/hook/b")
		w.wait(time.Hour)
		expect(t, "sent after 2 s", w.count("other/hook"), 0)
		w.Reached()
		w.settleDown()
		expect(t, "sent after the first answer", w.count("other/hook"), 1)
		w.Unreachable()
		w.wait(time.Second)
		w.submit("other/hook/c")
		w.settleDown()
		expect(t, "sent when it begins anew", w.count("other/hook"), 2)
	})
}

func TestAPreparedAttemptIsNotSentWhenWritesHaveBeenFailing(t *testing.T) {
	for name, fail := range map[string]func(w *world){
		"of all":           func(w *world) { w.Unreachable() },
		"of the namespace": func(w *world) { w.WriteFailed("ns") },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.prepare = func(context.Context, types.UID) error { time.Sleep(3 * time.Second); return nil }
				w.submit("ns/hook/a")
				w.settleDown()
				fail(w)
				w.wait(4 * time.Second)
				expect(t, "sent", w.total(), 0)
				expect(t, "phase", w.View("ns/hook/a").Phase, Queued)
				w.WriteSucceeded("ns")
				w.wait(4 * time.Second)
				expect(t, "sent", w.total(), 1)
			})
		})
	}
}

// With nothing left to write, no write would ever succeed and end the stall.
func TestOneAttemptFindsOutWhetherWritesWorkWhenNothingWaitsToBeWritten(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.silent = true
		w.Unreachable()
		w.wait(2 * time.Second)
		w.submit("a/hook/1", "b/hook/1")
		w.wait(8*time.Second - ms)
		expect(t, "sent before 10 s", w.total(), 0)
		w.wait(ms)
		expect(t, "sent after 10 s", w.total(), 1)
		w.wait(time.Hour)
		w.submit("a/other/1")
		w.settleDown()
		w.Withdraw("a/other/1")
		expect(t, "sent while that waits to be written", w.total(), 1)
		w.Dropped("a/hook/1")
		w.settleDown()
		expect(t, "sent when that was dropped", w.total(), 2)
		w.Unreachable()
		w.wait(time.Second)
		w.Dropped("b/hook/1")
		w.submit("c/hook/1")
		w.settleDown()
		expect(t, "sent right after another failure", w.total(), 2)
	})
}

func TestAMissingDispatcherPausesEverythingAndCostsNoAttempt(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.otherwise = breaks(dispatcher.ErrUnavailable, 0)
		for _, hook := range []string{"ns/a", "ns/b", "ns/c"} {
			w.many(hook, "", 2)
		}
		w.settleDown()
		first := w.total()
		expect(t, "paused", w.Stats().Paused, true)
		var at []time.Duration
		w.wait(5 * time.Second)
		for _, s := range w.log()[first:] {
			at = append(at, s.at)
		}
		expectList(t, "probes", at, []time.Duration{50 * ms, 150 * ms, 350 * ms, 750 * ms, 1550 * ms, 2550 * ms, 3550 * ms, 4550 * ms})
		expect(t, "queued", w.Stats().Queued, 6)
		w.mu.Lock()
		w.otherwise = status(200, 10*ms)
		again := len(w.sends)
		w.mu.Unlock()
		w.wait(2 * time.Second)
		sends := w.log()[again:]
		expect(t, "sent when it is back", len(sends), 6)
		expect(t, "time between the probe and the next", sends[1].at-sends[0].at, 10*ms)
		seen := map[string]string{}
		for _, s := range sends {
			if s.number != 1 {
				t.Errorf("attempt number of %s: got %d, want 1", s.uid, s.number)
			}
			if seen[s.hook] > string(s.uid) {
				t.Errorf("%s was sent after %s", s.uid, seen[s.hook])
			}
			seen[s.hook] = string(s.uid)
		}
	})
}

func TestAProbeThatTakesLongIsTakenAsHandedOver(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/hangs", inTurn(breaks(dispatcher.ErrUnavailable, 0), hangs()))
		w.submit("ns/hangs/a")
		w.settleDown()
		w.submit("ns/hook/a", "ns/hook/b")
		w.wait(50 * ms)
		expect(t, "sent with the probe", w.count("ns/hook"), 0)
		w.wait(50 * ms)
		expect(t, "sent 50 ms after the probe", w.count("ns/hook"), 1)
		expect(t, "paused", w.Stats().Paused, false)
	})
}

func TestTheGateIsNotPolledInAHurryWhileAProbeIsOut(t *testing.T) {
	var looks atomic.Int64
	var open atomic.Bool
	open.Store(true)
	gate := func() bool { looks.Add(1); return open.Load() }
	inWorld(t, Options{Gate: gate}, func(w *world) {
		w.answer("ns/hangs", inTurn(breaks(dispatcher.ErrUnavailable, 0), hangs()))
		w.many("ns/hangs", "", 2)
		w.wait(60 * ms)
		open.Store(false)
		before := looks.Load()
		w.wait(5 * time.Second)
		if n := looks.Load() - before; n > 60 {
			t.Errorf("the gate was looked at %d times in 5 s", n)
		}
	})
}

func TestHoldStartsNothingAndThenGoesOneByOne(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
		w.many("ns/hook", "before", 20)
		w.wait(time.Second)
		if w.limitOf("ns/hook") < 4 {
			t.Fatalf("limit before the hold: %d", w.limitOf("ns/hook"))
		}
		until := time.Now().Add(time.Minute)
		w.Hold(hook, until)
		w.Hold(hook, until.Add(-30*time.Second))
		expect(t, "HoldUntil", w.HoldUntil(hook), until)
		w.answer("ns/hook", inTurn(status(503, 20*ms), status(503, 20*ms), status(200, 20*ms)))
		w.many("ns/hook", "after", 20)
		w.wait(time.Minute - ms)
		expect(t, "sent while it is held", w.count("ns/hook"), 20)
		w.wait(ms)
		expect(t, "HoldUntil afterwards", w.HoldUntil(hook), time.Time{})
		for range 3 {
			expect(t, "in flight before the first success", w.flightsOf("ns/hook"), 1)
			w.wait(20 * ms)
		}
		expect(t, "in flight after a success", w.flightsOf("ns/hook"), 2)
		w.wait(time.Second)
		expect(t, "sent in all", w.count("ns/hook"), 40)
	})
}

func TestHoldCanBeExtended(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
		w.Hold(hook, time.Now().Add(time.Second))
		w.Hold(hook, time.Now().Add(2*time.Second))
		w.submit("ns/hook/a")
		w.submit("ns/other/a")
		w.wait(2*time.Second - ms)
		expect(t, "sent while it is held", w.count("ns/hook"), 0)
		expect(t, "sent of another webhook", w.count("ns/other"), 1)
		w.wait(ms)
		expect(t, "sent afterwards", w.count("ns/hook"), 1)
		w.Hold(hook, time.Now().Add(-time.Second))
		expect(t, "HoldUntil after a time that has passed", w.HoldUntil(hook), time.Time{})
	})
}

func TestAnAttemptFromBeforeTheHoldDoesNotRaiseTheLimit(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
		w.many("ns/hook", "a", 3)
		w.wait(10 * ms)
		w.Hold(hook, time.Now().Add(20*ms))
		w.wait(20 * ms)
		expect(t, "limit", w.limitOf("ns/hook"), 1)
		expect(t, "in flight", w.flightsOf("ns/hook"), 1)
	})
}

func TestCalmStartsOneByOneAgain(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.many("ns/hook", "a", 50)
		w.wait(time.Second)
		w.Calm(types.NamespacedName{Namespace: "ns", Name: "hook"})
		w.many("ns/hook", "b", 50)
		w.settleDown()
		expect(t, "in flight", w.flightsOf("ns/hook"), 1)
		w.wait(20 * ms)
		expect(t, "in flight after a success", w.flightsOf("ns/hook"), 2)
	})
}
