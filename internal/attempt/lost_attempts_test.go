// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

func TestALostJobIsRepeatedAfterASecondWithTheSameNumber(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hook", inTurn(breaks(dispatcher.ErrLost, 20*ms), status(200, 20*ms)))
		f.submitJob(f.job("ns/hook/a", 3))
		f.wait(20 * ms)
		expect(t, "view while it waits", f.State("ns/hook/a"), State{Phase: Queued, Attempts: 2})
		expect(t, "unsettled while it waits", f.Stats().Unsettled, 0)
		expect(t, "lost", f.Stats().Lost, 1)
		f.wait(2 * time.Second)
		sends := f.log()
		expect(t, "sent", len(sends), 2)
		expect(t, "number of the second", sends[1].number, 3)
		expect(t, "time of the second", sends[1].at, 1020*ms)
		expect(t, "outcome", f.outcome("ns/hook/a").Result.Succeeded(), true)
	})
}

func TestTheThirdLossIsAFailedAttempt(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hook", breaks(dispatcher.ErrLost, 20*ms))
		f.submit("ns/hook/a")
		f.wait(2*time.Second + 60*ms)
		outcome := f.outcome("ns/hook/a")
		want := dispatcher.Result{
			StartedAt: f.begin.Add(2*time.Second + 40*ms),
			Duration:  20 * ms,
			Reason:    dispatcher.ReasonDispatcherLost,
			Message:   "the dispatcher ended while it held the attempt, three times",
		}
		if !outcome.Result.StartedAt.Equal(want.StartedAt) {
			t.Errorf("started at %v, want %v", outcome.Result.StartedAt, want.StartedAt)
		}
		outcome.Result.StartedAt = want.StartedAt
		expect(t, "outcome", outcome, Outcome{Number: 1, Result: want, Note: "note"})
		expect(t, "sent", f.total(), 3)
		expect(t, "state: the endpoint has shown nothing", f.stateOf("ns/hook"), endpoint.Unproven)
		f.submitJob(f.job("ns/hook/a", 2))
		f.wait(time.Second)
		expect(t, "the next attempt begins to count anew", f.State("ns/hook/a").Phase, Queued)
	})
}

func TestLostJobsRunOneAtATimeProvenFirstAndDelayNoOthers(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/proven", inTurn(status(200, ms), breaks(dispatcher.ErrLost, 310*ms), status(200, 300*ms)))
		f.submit("ns/proven/first")
		f.wait(10 * ms)
		for i := range 5 {
			f.answer(fmt.Sprintf("ns/new%d", i), inTurn(breaks(dispatcher.ErrLost, 300*ms), status(200, 300*ms)))
			f.submit(fmt.Sprintf("ns/new%d/lost", i))
		}
		f.submit("ns/proven/lost")
		f.wait(time.Second)
		before := f.total()
		for i := range 100 {
			f.submit(fmt.Sprintf("ns/other/%d", i))
			f.wait(30 * ms)
		}
		var repeats []sent
		for _, s := range f.log()[before:] {
			if s.hook == "ns/other" {
				expect(t, "wait of an ordinary job", s.waited, 0)
				continue
			}
			repeats = append(repeats, s)
		}
		expect(t, "lost jobs sent again", len(repeats), 6)
		expect(t, "the next after it was due", repeats[1].uid, types.UID("ns/proven/lost"))
		for i, s := range repeats[1:] {
			expect(t, "time since the one before", s.at-repeats[i].at, 300*ms)
		}
	})
}

func TestALostJobThatHangsDelaysOtherLostJobsForASecondOnly(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		for i := range 4 {
			f.answer(fmt.Sprintf("ns/hook%d", i), inTurn(breaks(dispatcher.ErrLost, ms), hangs()))
			f.submit(fmt.Sprintf("ns/hook%d/a", i))
		}
		f.wait(20 * time.Second)
		var at []time.Duration
		for _, s := range f.log()[4:] {
			at = append(at, s.at)
		}
		expectList(t, "repeated at", at, []time.Duration{1001 * ms, 2001 * ms, 3001 * ms, 4001 * ms})
	})
}

func TestALostJobWaitsWhileItsWebhookIsBusyOrHeld(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/busy", inTurn(breaks(dispatcher.ErrLost, ms), status(500, 5*time.Second), status(200, ms)))
		f.submit("ns/busy/lost", "ns/busy/next", "ns/busy/last")
		f.answer("ns/held", inTurn(breaks(dispatcher.ErrLost, ms), status(200, ms)))
		f.submit("ns/held/lost")
		f.answer("ns/free", inTurn(breaks(dispatcher.ErrLost, 2*ms), status(200, ms)))
		f.submit("ns/free/lost")
		f.wait(ms)
		f.Hold(types.NamespacedName{Namespace: "ns", Name: "held"}, f.begin.Add(3*time.Second))
		f.wait(20 * time.Second)
		at := map[types.UID]time.Duration{}
		for _, s := range f.log() {
			at[s.uid] = s.at
		}
		expect(t, "free", at["ns/free/lost"], 1002*ms)
		expect(t, "held", at["ns/held/lost"], 3*time.Second)
		expect(t, "busy, at the first chance", at["ns/busy/lost"], 5001*ms)
		expect(t, "peak of the busy one", f.peakOf("ns/busy"), 1)
	})
}

func TestALostJobWaitsWhileItsDestinationIsFull(t *testing.T) {
	withRunner(t, Options{PerDestination: 1}, func(f *runnerFixture) {
		shared := func(uid string) {
			job := f.job(uid, 1)
			job.Destination = "shared.example.com:443"
			f.submitJob(job)
		}
		f.answer("ns/a", inTurn(breaks(dispatcher.ErrLost, ms), status(200, ms)))
		f.answer("ns/b", status(200, 900*ms))
		shared("ns/a/lost")
		f.settleDown()
		for i := range 10 {
			shared(fmt.Sprintf("ns/b/%d", i))
		}
		f.wait(20 * time.Second)
		index := slices.IndexFunc(f.log()[1:], func(s sent) bool { return s.uid == "ns/a/lost" })
		expect(t, "ordinary jobs sent before it", index, 2)
		expect(t, "sent when the second of them had ended", f.log()[index+1].at, 1801*ms)
	})
}

func TestALostJobCanBeWithdrawnAndForgotten(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.otherwise = breaks(dispatcher.ErrLost, ms)
		f.submit("ns/a/1", "ns/b/1", "ns/c/1")
		f.settleDown()
		f.Acknowledge("ns/c/1", Ack{Gone: true})
		f.wait(ms)
		expect(t, "Withdraw", f.Cancel("ns/a/1"), true)
		f.Acknowledge("ns/b/1", Ack{Gone: true})
		f.wait(time.Minute)
		expect(t, "sent", f.total(), 3)
		expect(t, "queued", f.Stats().Queued, 0)
	})
}

func TestALostJobStaysLostWhenThereIsNoDispatcher(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/a", inTurn(breaks(dispatcher.ErrLost, ms), breaks(dispatcher.ErrUnavailable, 0),
			breaks(dispatcher.ErrUnavailable, 0), status(200, ms)))
		f.submit("ns/a/1")
		f.wait(time.Minute)
		var at []time.Duration
		for _, s := range f.log() {
			at = append(at, s.at)
		}
		expectList(t, "sent at", at, []time.Duration{0, 1001 * ms, 1051 * ms, 1151 * ms})
		expect(t, "outcome", f.outcome("ns/a/1").Result.Succeeded(), true)
	})
}
