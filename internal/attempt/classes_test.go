// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

func TestClassAndLimitFollowTheResults(t *testing.T) {
	const n = 40
	for name, c := range map[string]struct {
		answers []answer
		after   time.Duration
		class   Class
		limit   int
	}{
		"no result yet":                           {[]answer{status(200, 20*ms)}, 0, Unproven, 1},
		"one success":                             {[]answer{status(200, 20*ms)}, 20 * ms, Proven, 2},
		"successes grow the limit":                {[]answer{status(200, 20*ms)}, 80 * ms, Proven, 16},
		"a quick 500 at first":                    {[]answer{status(500, 20*ms)}, 30 * ms, Unproven, 1},
		"connection refused at first":             {[]answer{fails(dispatcher.ReasonConnectionRefused, ms)}, 10 * ms, Unproven, 1},
		"success, then refused":                   {[]answer{status(200, ms), status(200, ms), fails(dispatcher.ReasonConnectionRefused, ms)}, 10 * ms, Proven, 1},
		"success, then no such name":              {[]answer{status(200, ms), status(200, ms), fails(dispatcher.ReasonNameNotResolved, ms)}, 10 * ms, Proven, 1},
		"an attempt out for less than SlowAfter":  {[]answer{status(200, 20*ms), hangs()}, time.Second, Proven, 2},
		"an attempt out for longer":               {[]answer{status(200, 20*ms), hangs()}, 1020 * ms, Slow, 2},
		"a timeout":                               {[]answer{hangs()}, 10 * time.Second, Slow, 1},
		"a timeout, two quick successes":          {[]answer{hangs(), status(200, ms), status(200, ms), hangs()}, 10*time.Second + 3*ms, Slow, 3},
		"a timeout, three quick successes":        {[]answer{hangs(), status(200, ms), status(200, ms), status(200, ms), hangs()}, 10*time.Second + 3*ms, Proven, 4},
		"two timeouts":                            {[]answer{hangs()}, 20 * time.Second, Hanging, 1},
		"two timeouts, an answer":                 {[]answer{hangs(), hangs(), status(500, ms), hangs()}, 20*time.Second + ms, Slow, 1},
		"two timeouts, a refusal":                 {[]answer{hangs(), hangs(), fails(dispatcher.ReasonConnectionRefused, ms), hangs()}, 20*time.Second + ms, Slow, 1},
		"usually slow, but succeeding":            {[]answer{status(200, 2*time.Second)}, 8500 * ms, Slow, 16},
		"slow once among quick ones, still out":   {[]answer{status(200, ms), status(200, 1500*ms), status(200, ms)}, 1100 * ms, Slow, 32},
		"slow once among quick ones, ended":       {[]answer{status(200, ms), status(200, 1500*ms), status(200, ms)}, 1600 * ms, Proven, 32},
		"a first answer that was slow, then none": {[]answer{status(200, 1500*ms), hangs()}, 1600 * ms, Slow, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.answer("ns/hook", inTurn(c.answers...))
				w.many("ns/hook", "", n)
				w.wait(c.after)
				expect(t, "class", w.classOf("ns/hook"), c.class)
				expect(t, "limit", w.limitOf("ns/hook"), c.limit)
			})
		})
	}
}

func TestABurstOfErrorsHalvesTheLimitOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.many("ns/hook", "a", 200)
		w.wait(time.Second)
		before := w.limitOf("ns/hook")
		w.answer("ns/hook", status(500, 20*ms))
		w.many("ns/hook", "b", 200)
		w.wait(20 * ms)
		expect(t, "limit after one round of errors", w.limitOf("ns/hook"), before/2)
		w.wait(20 * ms)
		expect(t, "limit after another", w.limitOf("ns/hook"), before/4)
		expect(t, "class", w.classOf("ns/hook"), Proven)
	})
}

func TestTheLimitGrowsOnlyWhereItWasReached(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		for i := range 20 {
			w.submit(fmt.Sprintf("ns/hook/%d", i))
			w.wait(50 * ms)
		}
		expect(t, "limit after 20 successes one by one", w.limitOf("ns/hook"), 2)
	})
}

func TestProvenWebhooksKeepAQuarterThoughTheRestIsTaken(t *testing.T) {
	inWorld(t, Options{Unsettled: 64}, func(w *world) {
		w.submit("ours/hook/first")
		w.wait(time.Second)
		w.otherwise = hangs()
		for i := range 200 {
			w.many(fmt.Sprintf("ns/hook%d", i), "", 2)
		}
		w.wait(4 * time.Second)
		expect(t, "slots taken by those that hang", w.Stats().Unsettled, 48)
		w.answer("ours/hook", status(200, 20*ms))
		w.many("ours/hook", "", 200)
		w.wait(500 * ms)
		expect(t, "most in flight of ours", w.peakOf("ours/hook"), 16)
		expect(t, "sent of ours", w.count("ours/hook"), 201)
	})
}

func TestASuccessLongAgoProvesNothing(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.many("ns/hook", "a", 100)
		w.wait(time.Second)
		expect(t, "class right after", w.classOf("ns/hook"), Proven)
		w.wait(provenFor + time.Second)
		w.many("ns/hook", "b", 100)
		w.settleDown()
		expect(t, "class much later", w.classOf("ns/hook"), Unproven)
		expect(t, "in flight", w.flightsOf("ns/hook"), 1)
		w.wait(20 * ms)
		expect(t, "class after a new success", w.classOf("ns/hook"), Proven)
	})
}

func TestUnprovenWebhooksShareAQuarterUntilTheyTurnSlow(t *testing.T) {
	inWorld(t, Options{Unsettled: 64}, func(w *world) {
		w.otherwise = hangs()
		for i := range 200 {
			w.many(fmt.Sprintf("ns/hook%d", i), "", 2)
		}
		w.settleDown()
		expect(t, "unproven at first", w.total(), 16)
		w.wait(time.Second - ms)
		expect(t, "unproven just before SlowAfter", w.total(), 16)
		w.wait(ms)
		expect(t, "with those that turned slow", w.total(), 32)
		w.wait(time.Second)
		expect(t, "a second later", w.total(), 48)
		w.wait(time.Second)
		expect(t, "slow and unproven together", w.total(), 48)
		expect(t, "of these slow", w.Stats().Classes[Slow].Unsettled, 48)
		w.wait(time.Minute)
		expect(t, "most in flight at a time", w.most, 48)
	})
}

func TestSlowWebhooksShareHalf(t *testing.T) {
	inWorld(t, Options{Unsettled: 64}, func(w *world) {
		w.otherwise = hangs()
		for i := range 100 {
			w.submit(fmt.Sprintf("ns/hook%d/first", i))
		}
		w.wait(5 * time.Minute) // now all are known to hang
		expect(t, "sent at first", w.total(), 100)
		for i := range 100 {
			w.many(fmt.Sprintf("ns/hook%d", i), "", 3)
		}
		w.mu.Lock()
		w.most = 0
		w.mu.Unlock()
		for range 60 {
			w.wait(time.Second)
		}
		expect(t, "most in flight at a time", w.most, 32)
	})
}

func TestWebhooksThatHangOneByOneKeepTheirShareAtADestination(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		shared := func(uid string) {
			job := w.job(uid, 1)
			job.Destination = "shared.example.com:443"
			w.submitJob(job)
		}
		for i := range 300 {
			w.answer(fmt.Sprintf("theirs/hook%d", i), hangs())
			shared(fmt.Sprintf("theirs/hook%d/a", i))
		}
		shared("ours/hook/first")
		w.wait(30 * time.Second)
		expect(t, "most that hang at a time", w.most, 48)
		for i := range 100 {
			shared(fmt.Sprintf("ours/hook/%d", i))
			w.wait(50 * ms)
		}
		for _, s := range w.log() {
			if s.hook == "ours/hook" && s.uid != "ours/hook/first" && s.waited > 0 {
				t.Errorf("%s waited %v", s.uid, s.waited)
			}
		}
	})
}

func TestBusyWebhooksThatBeginToHangLeaveSlotsToOthers(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	inWorld(t, Options{Unsettled: 64, Gate: open.Load}, func(w *world) {
		for i := range 12 {
			w.many(fmt.Sprintf("theirs/hook%d", i), "a", 100)
		}
		w.submit("ours/hook/first")
		w.wait(10 * time.Second)
		open.Store(false)
		for i := range 12 {
			w.answer(fmt.Sprintf("theirs/hook%d", i), hangs())
			w.many(fmt.Sprintf("theirs/hook%d", i), "b", 100)
		}
		open.Store(true)
		w.wait(gatePoll)
		expect(t, "in flight", w.Stats().InFlight, 32)
		w.submit("ours/hook/second")
		w.settleDown()
		expect(t, "sent at once", w.count("ours/hook"), 2)
	})
}

func TestAChangedDestinationStartsAfresh(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/hook", inTurn(status(200, ms), status(200, ms), hangs()))
		w.many("ns/hook", "a", 6)
		w.wait(5 * time.Second)
		expect(t, "class before", w.classOf("ns/hook"), Slow)
		hanging := w.flightsOf("ns/hook")
		w.Hold(types.NamespacedName{Namespace: "ns", Name: "hook"}, time.Now().Add(time.Hour))
		w.answer("ns/hook", status(200, ms))
		job := w.job("ns/hook/b", 1)
		job.Destination = "elsewhere.example.com:443"
		w.submitJob(job)
		w.settleDown()
		expect(t, "class after", w.classOf("ns/hook"), Unproven)
		expect(t, "limit after", w.limitOf("ns/hook"), 1)
		expect(t, "in flight", w.flightsOf("ns/hook"), hanging+1)
		w.wait(time.Minute)
		expect(t, "class when the old attempts have timed out", w.classOf("ns/hook"), Proven)
		expect(t, "destinations", len(w.destinations), 1)
	})
}
