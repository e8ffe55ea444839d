// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

func TestALostJobIsRepeatedAfterASecondWithTheSameNumber(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/hook", inTurn(breaks(dispatcher.ErrLost, 20*ms), status(200, 20*ms)))
		w.submitJob(w.job("ns/hook/a", 3))
		w.wait(20 * ms)
		expect(t, "view while it waits", w.View("ns/hook/a"), View{Phase: Queued, Attempts: 2})
		expect(t, "unsettled while it waits", w.Stats().Unsettled, 0)
		expect(t, "lost", w.Stats().Lost, 1)
		w.wait(2 * time.Second)
		sends := w.log()
		expect(t, "sent", len(sends), 2)
		expect(t, "number of the second", sends[1].number, 3)
		expect(t, "time of the second", sends[1].at, 1020*ms)
		expect(t, "outcome", w.outcome("ns/hook/a").Result.Succeeded(), true)
	})
}

func TestTheThirdLossIsAFailedAttempt(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/hook", breaks(dispatcher.ErrLost, 20*ms))
		w.submit("ns/hook/a")
		w.wait(2*time.Second + 60*ms)
		outcome := w.outcome("ns/hook/a")
		want := dispatcher.Result{
			StartedAt: w.begin.Add(2*time.Second + 40*ms),
			Duration:  20 * ms,
			Reason:    dispatcher.ReasonDispatcherLost,
			Message:   "the dispatcher ended while it held the attempt, three times",
		}
		if !outcome.Result.StartedAt.Equal(want.StartedAt) {
			t.Errorf("started at %v, want %v", outcome.Result.StartedAt, want.StartedAt)
		}
		outcome.Result.StartedAt = want.StartedAt
		expect(t, "outcome", outcome, Outcome{Number: 1, Result: want, Note: "note"})
		expect(t, "sent", w.total(), 3)
		expect(t, "class: the endpoint has shown nothing", w.classOf("ns/hook"), Unproven)
		w.submitJob(w.job("ns/hook/a", 2))
		w.wait(time.Second)
		expect(t, "the next attempt begins to count anew", w.View("ns/hook/a").Phase, Queued)
	})
}

func TestLostJobsRunOneAtATimeProvenFirstAndDelayNobody(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/proven", inTurn(status(200, ms), breaks(dispatcher.ErrLost, 310*ms), status(200, 300*ms)))
		w.submit("ns/proven/first")
		w.wait(10 * ms)
		for i := range 5 {
			w.answer(fmt.Sprintf("ns/new%d", i), inTurn(breaks(dispatcher.ErrLost, 300*ms), status(200, 300*ms)))
			w.submit(fmt.Sprintf("ns/new%d/lost", i))
		}
		w.submit("ns/proven/lost")
		w.wait(time.Second)
		before := w.total()
		for i := range 100 {
			w.submit(fmt.Sprintf("ns/other/%d", i))
			w.wait(30 * ms)
		}
		var lane []sent
		for _, s := range w.log()[before:] {
			if s.hook == "ns/other" {
				expect(t, "wait of an ordinary job", s.waited, 0)
				continue
			}
			lane = append(lane, s)
		}
		expect(t, "lost jobs sent again", len(lane), 6)
		expect(t, "the next after it was due", lane[1].uid, types.UID("ns/proven/lost"))
		for i, s := range lane[1:] {
			expect(t, "time since the one before", s.at-lane[i].at, 300*ms)
		}
	})
}

func TestALostJobThatHangsKeepsTheLaneForASecondOnly(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		for i := range 4 {
			w.answer(fmt.Sprintf("ns/hook%d", i), inTurn(breaks(dispatcher.ErrLost, ms), hangs()))
			w.submit(fmt.Sprintf("ns/hook%d/a", i))
		}
		w.wait(20 * time.Second)
		var at []time.Duration
		for _, s := range w.log()[4:] {
			at = append(at, s.at)
		}
		expectList(t, "repeated at", at, []time.Duration{1001 * ms, 2001 * ms, 3001 * ms, 4001 * ms})
	})
}

func TestALostJobStepsAsideWhileItsWebhookIsBusyOrHeld(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/busy", inTurn(breaks(dispatcher.ErrLost, ms), status(500, 5*time.Second), status(200, ms)))
		w.submit("ns/busy/lost", "ns/busy/next", "ns/busy/last")
		w.answer("ns/held", inTurn(breaks(dispatcher.ErrLost, ms), status(200, ms)))
		w.submit("ns/held/lost")
		w.answer("ns/free", inTurn(breaks(dispatcher.ErrLost, 2*ms), status(200, ms)))
		w.submit("ns/free/lost")
		w.wait(ms)
		w.Hold(types.NamespacedName{Namespace: "ns", Name: "held"}, w.begin.Add(3*time.Second))
		w.wait(20 * time.Second)
		at := map[types.UID]time.Duration{}
		for _, s := range w.log() {
			at[s.uid] = s.at
		}
		expect(t, "free", at["ns/free/lost"], 1002*ms)
		expect(t, "held", at["ns/held/lost"], 3*time.Second)
		expect(t, "busy, at the first chance", at["ns/busy/lost"], 5001*ms)
		expect(t, "peak of the busy one", w.peakOf("ns/busy"), 1)
	})
}

func TestALostJobStepsAsideWhileItsDestinationIsFull(t *testing.T) {
	inWorld(t, Options{PerDestination: 1}, func(w *world) {
		shared := func(uid string) {
			job := w.job(uid, 1)
			job.Destination = "shared.example.com:443"
			w.submitJob(job)
		}
		w.answer("ns/a", inTurn(breaks(dispatcher.ErrLost, ms), status(200, ms)))
		w.answer("ns/b", status(200, 900*ms))
		shared("ns/a/lost")
		w.settleDown()
		for i := range 10 {
			shared(fmt.Sprintf("ns/b/%d", i))
		}
		w.wait(20 * time.Second)
		index := slices.IndexFunc(w.log()[1:], func(s sent) bool { return s.uid == "ns/a/lost" })
		expect(t, "ordinary jobs sent before it", index, 2)
		expect(t, "sent when the second of them had ended", w.log()[index+1].at, 1801*ms)
	})
}

func TestALostJobCanBeWithdrawnAndForgotten(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.otherwise = breaks(dispatcher.ErrLost, ms)
		w.submit("ns/a/1", "ns/b/1", "ns/c/1")
		w.settleDown()
		w.Forget("ns/c/1")
		w.wait(ms)
		expect(t, "Withdraw", w.Withdraw("ns/a/1"), true)
		w.Forget("ns/b/1")
		w.wait(time.Minute)
		expect(t, "sent", w.total(), 3)
		expect(t, "queued", w.Stats().Queued, 0)
	})
}

func TestALostJobGoesBackToTheLaneWhenThereIsNoDispatcher(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/a", inTurn(breaks(dispatcher.ErrLost, ms), breaks(dispatcher.ErrUnavailable, 0),
			breaks(dispatcher.ErrUnavailable, 0), status(200, ms)))
		w.submit("ns/a/1")
		w.wait(time.Minute)
		var at []time.Duration
		for _, s := range w.log() {
			at = append(at, s.at)
		}
		expectList(t, "sent at", at, []time.Duration{0, 1001 * ms, 1051 * ms, 1151 * ms})
		expect(t, "outcome", w.outcome("ns/a/1").Result.Succeeded(), true)
	})
}
