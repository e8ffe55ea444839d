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
	withRunner(t, Options{Gate: open.Load}, func(f *runnerFixture) {
		f.submit("ns/hook/a")
		f.wait(time.Minute)
		expect(t, "sent while it is closed", f.total(), 0)
		open.Store(true)
		f.wait(gatePoll)
		expect(t, "sent once it is open", f.total(), 1)
	})
}

func TestFewStartWhileThrottled(t *testing.T) {
	var busy atomic.Bool
	busy.Store(true)
	withRunner(t, Options{Throttle: busy.Load}, func(f *runnerFixture) {
		f.otherwise = status(200, 300*ms)
		f.answers["ns/hangs"] = hangs()
		f.submit("ns/hangs/a", "ns/hook1/a", "ns/hook2/a", "ns/hook3/a")
		f.wait(200 * ms)
		expect(t, "sent at first", f.total(), maxThrottled)
		f.wait(time.Second)
		expect(t, "sent beside one that hangs", f.total(), 4)
		f.wait(time.Second)
		f.submit("ns/hook1/b", "ns/hook2/b", "ns/hook3/b", "ns/hook4/b")
		busy.Store(false)
		f.wait(gatePoll)
		expect(t, "sent once it is over", f.total(), 8)
	})
}

func TestAnAttemptInPreparationIsReturnedWhenTheGateCloses(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	withRunner(t, Options{Gate: open.Load}, func(f *runnerFixture) {
		f.prepare = func(context.Context, types.UID) error { time.Sleep(time.Second); return nil }
		f.submit("ns/hook/a", "ns/hook/b")
		f.settleDown()
		expect(t, "phase", f.State("ns/hook/a").Phase, UnderWay)
		open.Store(false)
		f.wait(time.Second)
		expect(t, "phase", f.State("ns/hook/a").Phase, Queued)
		open.Store(true)
		f.wait(time.Minute)
		expectList(t, "sent", f.order(), []string{"ns/hook/a", "ns/hook/b"})
	})
}

func TestNothingStartsWhileTheAPIServerCannotBeReached(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.silent = true
		f.submit("ns/waits/to-be-written")
		f.wait(time.Second)
		f.PlatformHealth("", WriteUnreachable)
		f.wait(2*time.Second - ms)
		f.submit("ns/hook/a")
		f.settleDown()
		expect(t, "sent after less than 2 s", f.count("ns/hook"), 1)
		f.PlatformHealth("", WriteUnreachable)
		f.wait(ms)
		expect(t, "stalled", f.Stats().Stalled, true)
		f.submit("other/hook/b")
		f.wait(time.Hour)
		expect(t, "sent after 2 s", f.count("other/hook"), 0)
		f.PlatformHealth("", WriteConflicted)
		f.settleDown()
		expect(t, "sent after the first answer", f.count("other/hook"), 1)
		f.PlatformHealth("", WriteUnreachable)
		f.wait(time.Second)
		f.submit("other/hook/c")
		f.settleDown()
		expect(t, "sent when it begins anew", f.count("other/hook"), 2)
	})
}

func TestAPreparedAttemptIsNotSentWhenWritesHaveBeenFailing(t *testing.T) {
	for name, fail := range map[string]func(f *runnerFixture){
		"of all":           func(f *runnerFixture) { f.PlatformHealth("", WriteUnreachable) },
		"of the namespace": func(f *runnerFixture) { f.PlatformHealth("ns", WriteUnanswered) },
	} {
		t.Run(name, func(t *testing.T) {
			withRunner(t, Options{}, func(f *runnerFixture) {
				f.prepare = func(context.Context, types.UID) error { time.Sleep(3 * time.Second); return nil }
				f.submit("ns/hook/a")
				f.settleDown()
				fail(f)
				f.wait(4 * time.Second)
				expect(t, "sent", f.total(), 0)
				expect(t, "phase", f.State("ns/hook/a").Phase, Queued)
				f.PlatformHealth("ns", WriteTaken)
				f.wait(4 * time.Second)
				expect(t, "sent", f.total(), 1)
			})
		})
	}
}

// With nothing left to write, no write would ever succeed and end the stall.
func TestOneAttemptProbesTheAPIServerWhenNoOutcomeWaits(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.silent = true
		f.PlatformHealth("", WriteUnreachable)
		f.wait(2 * time.Second)
		f.submit("a/hook/1", "b/hook/1")
		f.wait(8*time.Second - ms)
		expect(t, "sent before 10 s", f.total(), 0)
		f.wait(ms)
		expect(t, "sent after 10 s", f.total(), 1)
		f.wait(time.Hour)
		f.submit("a/other/1")
		f.settleDown()
		f.Cancel("a/other/1")
		expect(t, "sent while that waits to be written", f.total(), 1)
		f.Acknowledge("a/hook/1", Ack{Dropped: true})
		f.settleDown()
		expect(t, "sent when that was dropped", f.total(), 2)
		f.PlatformHealth("", WriteUnreachable)
		f.wait(time.Second)
		f.Acknowledge("b/hook/1", Ack{Dropped: true})
		f.submit("c/hook/1")
		f.settleDown()
		expect(t, "sent right after another failure", f.total(), 2)
	})
}

func TestAMissingDispatcherPausesEverythingAndCostsNoAttempt(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.otherwise = breaks(dispatcher.ErrUnavailable, 0)
		for _, hook := range []string{"ns/a", "ns/b", "ns/c"} {
			f.many(hook, "", 2)
		}
		f.settleDown()
		first := f.total()
		expect(t, "paused", f.Stats().Paused, true)
		var at []time.Duration
		f.wait(5 * time.Second)
		for _, s := range f.log()[first:] {
			at = append(at, s.at)
		}
		expectList(t, "probes", at, []time.Duration{50 * ms, 150 * ms, 350 * ms, 750 * ms, 1550 * ms, 2550 * ms, 3550 * ms, 4550 * ms})
		expect(t, "queued", f.Stats().Queued, 6)
		f.mu.Lock()
		f.otherwise = status(200, 10*ms)
		again := len(f.sends)
		f.mu.Unlock()
		f.wait(2 * time.Second)
		sends := f.log()[again:]
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
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hangs", inTurn(breaks(dispatcher.ErrUnavailable, 0), hangs()))
		f.submit("ns/hangs/a")
		f.settleDown()
		f.submit("ns/hook/a", "ns/hook/b")
		f.wait(50 * ms)
		expect(t, "sent with the probe", f.count("ns/hook"), 0)
		f.wait(50 * ms)
		expect(t, "sent 50 ms after the probe", f.count("ns/hook"), 1)
		expect(t, "paused", f.Stats().Paused, false)
	})
}

func TestTheGateIsNotPolledInAHurryWhileAProbeIsOut(t *testing.T) {
	var looks atomic.Int64
	var open atomic.Bool
	open.Store(true)
	gate := func() bool { looks.Add(1); return open.Load() }
	withRunner(t, Options{Gate: gate}, func(f *runnerFixture) {
		f.answer("ns/hangs", inTurn(breaks(dispatcher.ErrUnavailable, 0), hangs()))
		f.many("ns/hangs", "", 2)
		f.wait(60 * ms)
		open.Store(false)
		before := looks.Load()
		f.wait(5 * time.Second)
		if n := looks.Load() - before; n > 60 {
			t.Errorf("the gate was looked at %d times in 5 s", n)
		}
	})
}

func TestHoldStartsNothingAndThenGoesOneByOne(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
		f.many("ns/hook", "before", 20)
		f.wait(time.Second)
		if f.limitOf("ns/hook") < 4 {
			t.Fatalf("limit before the hold: %d", f.limitOf("ns/hook"))
		}
		until := time.Now().Add(time.Minute)
		f.Hold(hook, until)
		f.Hold(hook, until.Add(-30*time.Second))
		expect(t, "HoldUntil", f.HoldUntil(hook), until)
		f.answer("ns/hook", inTurn(status(503, 20*ms), status(503, 20*ms), status(200, 20*ms)))
		f.many("ns/hook", "after", 20)
		f.wait(time.Minute - ms)
		expect(t, "sent while it is held", f.count("ns/hook"), 20)
		f.wait(ms)
		expect(t, "HoldUntil afterwards", f.HoldUntil(hook), time.Time{})
		for range 3 {
			expect(t, "under way before the first success", f.underWayOf("ns/hook"), 1)
			f.wait(20 * ms)
		}
		expect(t, "under way after a success", f.underWayOf("ns/hook"), 2)
		f.wait(time.Second)
		expect(t, "sent in all", f.count("ns/hook"), 40)
	})
}

func TestHoldCanBeExtended(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
		f.Hold(hook, time.Now().Add(time.Second))
		f.Hold(hook, time.Now().Add(2*time.Second))
		f.submit("ns/hook/a")
		f.submit("ns/other/a")
		f.wait(2*time.Second - ms)
		expect(t, "sent while it is held", f.count("ns/hook"), 0)
		expect(t, "sent of another webhook", f.count("ns/other"), 1)
		f.wait(ms)
		expect(t, "sent afterwards", f.count("ns/hook"), 1)
		f.Hold(hook, time.Now().Add(-time.Second))
		expect(t, "HoldUntil after a time that has passed", f.HoldUntil(hook), time.Time{})
	})
}

func TestAnAttemptFromBeforeTheHoldDoesNotRaiseTheLimit(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
		f.many("ns/hook", "a", 3)
		f.wait(10 * ms)
		f.Hold(hook, time.Now().Add(20*ms))
		f.wait(20 * ms)
		expect(t, "limit", f.limitOf("ns/hook"), 1)
		expect(t, "under way", f.underWayOf("ns/hook"), 1)
	})
}

func TestCalmStartsOneByOneAgain(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.many("ns/hook", "a", 50)
		f.wait(time.Second)
		f.Reset(types.NamespacedName{Namespace: "ns", Name: "hook"}, WebhookChange{})
		f.many("ns/hook", "b", 50)
		f.settleDown()
		expect(t, "under way", f.underWayOf("ns/hook"), 1)
		f.wait(20 * ms)
		expect(t, "under way after a success", f.underWayOf("ns/hook"), 2)
	})
}
