// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

func TestClassAndLimitFollowTheResults(t *testing.T) {
	const n = 40
	for name, c := range map[string]struct {
		answers []answer
		after   time.Duration
		state   endpoint.State
		limit   int
	}{
		"no result yet":                           {[]answer{status(200, 20*ms)}, 0, endpoint.Unproven, 1},
		"one success":                             {[]answer{status(200, 20*ms)}, 20 * ms, endpoint.Healthy, 2},
		"successes grow the limit":                {[]answer{status(200, 20*ms)}, 80 * ms, endpoint.Healthy, 16},
		"a quick 500 at first":                    {[]answer{status(500, 20*ms)}, 30 * ms, endpoint.Unproven, 1},
		"connection refused at first":             {[]answer{fails(dispatcher.ReasonConnectionRefused, ms)}, 10 * ms, endpoint.Unproven, 1},
		"success, then refused":                   {[]answer{status(200, ms), status(200, ms), fails(dispatcher.ReasonConnectionRefused, ms)}, 10 * ms, endpoint.Healthy, 1},
		"success, then no such name":              {[]answer{status(200, ms), status(200, ms), fails(dispatcher.ReasonNameNotResolved, ms)}, 10 * ms, endpoint.Healthy, 1},
		"an attempt out for less than SlowAfter":  {[]answer{status(200, 20*ms), hangs()}, time.Second, endpoint.Healthy, 2},
		"an attempt out for longer":               {[]answer{status(200, 20*ms), hangs()}, 1020 * ms, endpoint.Slow, 2},
		"a timeout":                               {[]answer{hangs()}, 10 * time.Second, endpoint.Slow, 1},
		"a timeout, two quick successes":          {[]answer{hangs(), status(200, ms), status(200, ms), hangs()}, 10*time.Second + 3*ms, endpoint.Slow, 3},
		"a timeout, three quick successes":        {[]answer{hangs(), status(200, ms), status(200, ms), status(200, ms), hangs()}, 10*time.Second + 3*ms, endpoint.Healthy, 4},
		"two timeouts":                            {[]answer{hangs()}, 20 * time.Second, endpoint.Hanging, 1},
		"two timeouts, an answer":                 {[]answer{hangs(), hangs(), status(500, ms), hangs()}, 20*time.Second + ms, endpoint.Slow, 1},
		"two timeouts, a refusal":                 {[]answer{hangs(), hangs(), fails(dispatcher.ReasonConnectionRefused, ms), hangs()}, 20*time.Second + ms, endpoint.Slow, 1},
		"usually slow, but succeeding":            {[]answer{status(200, 2*time.Second)}, 8500 * ms, endpoint.Slow, 16},
		"slow once among quick ones, still out":   {[]answer{status(200, ms), status(200, 1500*ms), status(200, ms)}, 1100 * ms, endpoint.Slow, 32},
		"slow once among quick ones, ended":       {[]answer{status(200, ms), status(200, 1500*ms), status(200, ms)}, 1600 * ms, endpoint.Healthy, 32},
		"a first answer that was slow, then none": {[]answer{status(200, 1500*ms), hangs()}, 1600 * ms, endpoint.Slow, 2},
	} {
		t.Run(name, func(t *testing.T) {
			withRunner(t, Options{}, func(f *runnerFixture) {
				f.answer("ns/hook", inTurn(c.answers...))
				f.many("ns/hook", "", n)
				f.wait(c.after)
				expect(t, "state", f.stateOf("ns/hook"), c.state)
				expect(t, "limit", f.limitOf("ns/hook"), c.limit)
			})
		})
	}
}

func TestABurstOfErrorsHalvesTheLimitOnce(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.many("ns/hook", "a", 200)
		f.wait(time.Second)
		before := f.limitOf("ns/hook")
		f.answer("ns/hook", status(500, 20*ms))
		f.many("ns/hook", "b", 200)
		f.wait(20 * ms)
		expect(t, "limit after one round of errors", f.limitOf("ns/hook"), before/2)
		f.wait(20 * ms)
		expect(t, "limit after another", f.limitOf("ns/hook"), before/4)
		expect(t, "state", f.stateOf("ns/hook"), endpoint.Healthy)
	})
}

func TestTheLimitGrowsOnlyWhereItWasReached(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		for i := range 20 {
			f.submit(fmt.Sprintf("ns/hook/%d", i))
			f.wait(50 * ms)
		}
		expect(t, "limit after 20 successes one by one", f.limitOf("ns/hook"), 2)
	})
}

func TestHealthyWebhooksKeepAQuarterThoughTheRestIsTaken(t *testing.T) {
	withRunner(t, Options{Unsettled: 64}, func(f *runnerFixture) {
		f.submit("ours/hook/first")
		f.wait(time.Second)
		f.otherwise = hangs()
		for i := range 200 {
			f.many(fmt.Sprintf("ns/hook%d", i), "", 2)
		}
		f.wait(4 * time.Second)
		expect(t, "slots taken by those that hang", f.Stats().Unsettled, 48)
		f.answer("ours/hook", status(200, 20*ms))
		f.many("ours/hook", "", 200)
		f.wait(500 * ms)
		expect(t, "most under way of ours", f.peakOf("ours/hook"), 16)
		expect(t, "sent of ours", f.count("ours/hook"), 201)
	})
}

func TestASuccessLongAgoProvesNothing(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.many("ns/hook", "a", 100)
		f.wait(time.Second)
		expect(t, "state right after", f.stateOf("ns/hook"), endpoint.Healthy)
		f.wait(endpoint.HealthyFor + time.Second)
		f.many("ns/hook", "b", 100)
		f.settleDown()
		expect(t, "state much later", f.stateOf("ns/hook"), endpoint.Unproven)
		expect(t, "under way", f.underWayOf("ns/hook"), 1)
		f.wait(20 * ms)
		expect(t, "state after a new success", f.stateOf("ns/hook"), endpoint.Healthy)
	})
}

func TestUnprovenWebhooksShareAQuarterUntilTheyTurnSlow(t *testing.T) {
	withRunner(t, Options{Unsettled: 64}, func(f *runnerFixture) {
		f.otherwise = hangs()
		for i := range 200 {
			f.many(fmt.Sprintf("ns/hook%d", i), "", 2)
		}
		f.settleDown()
		expect(t, "unproven at first", f.total(), 16)
		f.wait(time.Second - ms)
		expect(t, "unproven just before SlowAfter", f.total(), 16)
		f.wait(ms)
		expect(t, "with those that turned slow", f.total(), 32)
		f.wait(time.Second)
		expect(t, "a second later", f.total(), 48)
		f.wait(time.Second)
		expect(t, "slow and unproven together", f.total(), 48)
		expect(t, "of these slow", f.Stats().States[endpoint.Slow].Unsettled, 48)
		f.wait(time.Minute)
		expect(t, "most under way at a time", f.most, 48)
	})
}

func TestSlowWebhooksShareHalf(t *testing.T) {
	withRunner(t, Options{Unsettled: 64}, func(f *runnerFixture) {
		f.otherwise = hangs()
		for i := range 100 {
			f.submit(fmt.Sprintf("ns/hook%d/first", i))
		}
		f.wait(5 * time.Minute) // now all are known to hang
		expect(t, "sent at first", f.total(), 100)
		for i := range 100 {
			f.many(fmt.Sprintf("ns/hook%d", i), "", 3)
		}
		f.mu.Lock()
		f.most = 0
		f.mu.Unlock()
		for range 60 {
			f.wait(time.Second)
		}
		expect(t, "most under way at a time", f.most, 32)
	})
}

func TestWebhooksThatHangOneByOneKeepTheirShareAtADestination(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		shared := func(uid string) {
			job := f.job(uid, 1)
			job.Destination = "shared.example.com:443"
			f.submitJob(job)
		}
		for i := range 300 {
			f.answer(fmt.Sprintf("theirs/hook%d", i), hangs())
			shared(fmt.Sprintf("theirs/hook%d/a", i))
		}
		shared("ours/hook/first")
		f.wait(30 * time.Second)
		expect(t, "most that hang at a time", f.most, 48)
		for i := range 100 {
			shared(fmt.Sprintf("ours/hook/%d", i))
			f.wait(50 * ms)
		}
		for _, s := range f.log() {
			if s.hook == "ours/hook" && s.uid != "ours/hook/first" && s.waited > 0 {
				t.Errorf("%s waited %v", s.uid, s.waited)
			}
		}
	})
}

func TestBusyWebhooksThatBeginToHangLeaveSlotsToOthers(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	withRunner(t, Options{Unsettled: 64, Gate: open.Load}, func(f *runnerFixture) {
		for i := range 12 {
			f.many(fmt.Sprintf("theirs/hook%d", i), "a", 100)
		}
		f.submit("ours/hook/first")
		f.wait(10 * time.Second)
		open.Store(false)
		for i := range 12 {
			f.answer(fmt.Sprintf("theirs/hook%d", i), hangs())
			f.many(fmt.Sprintf("theirs/hook%d", i), "b", 100)
		}
		open.Store(true)
		f.wait(gatePoll)
		expect(t, "under way", f.Stats().UnderWay, 32)
		f.submit("ours/hook/second")
		f.settleDown()
		expect(t, "sent at once", f.count("ours/hook"), 2)
	})
}

func TestAChangedDestinationStartsAfresh(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hook", inTurn(status(200, ms), status(200, ms), hangs()))
		f.many("ns/hook", "a", 6)
		f.wait(5 * time.Second)
		expect(t, "state before", f.stateOf("ns/hook"), endpoint.Slow)
		hanging := f.underWayOf("ns/hook")
		f.Hold(types.NamespacedName{Namespace: "ns", Name: "hook"}, time.Now().Add(time.Hour))
		f.answer("ns/hook", status(200, ms))
		job := f.job("ns/hook/b", 1)
		job.Destination = "elsewhere.example.com:443"
		f.submitJob(job)
		f.settleDown()
		expect(t, "state after", f.stateOf("ns/hook"), endpoint.Unproven)
		expect(t, "limit after", f.limitOf("ns/hook"), 1)
		expect(t, "under way", f.underWayOf("ns/hook"), hanging+1)
		f.wait(time.Minute)
		expect(t, "state when the old attempts have timed out", f.stateOf("ns/hook"), endpoint.Healthy)
		expect(t, "destinations", len(f.scheduler.destinations), 1)
	})
}
