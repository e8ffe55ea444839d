// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

const ms = time.Millisecond

func TestAJobGoesFromQueuedToWritten(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.silent = true
		f.submit("ns/hook/a", "ns/hook/b")
		f.settleDown()
		expect(t, "view while it waits", f.State("ns/hook/b"), State{Phase: Queued})
		f.Cancel("ns/hook/b")
		expect(t, "view while it is made", f.State("ns/hook/a"), State{Phase: UnderWay})
		f.wait(20 * ms)
		result := dispatcher.Result{Duration: 20 * ms, StatusCode: 200}
		finished := State{Phase: Finished, Attempts: 1, Outcome: Outcome{Number: 1, Result: result, Note: "note"}}
		expect(t, "view of the outcome", f.State("ns/hook/a"), finished)
		expectList(t, "calls of Wake", f.calls(), []types.NamespacedName{{Namespace: "ns", Name: "ns/hook/a"}})
		expectList(t, "unsettled", f.unsettled(), f.calls())
		f.Acknowledge("ns/hook/a", Ack{Attempts: 0})
		expect(t, "view after a write that did not hold it", f.State("ns/hook/a"), finished)
		f.Acknowledge("ns/hook/a", Ack{Attempts: 1, Final: true})
		expect(t, "view once written", f.State("ns/hook/a"), State{Phase: Written, Attempts: 1})
		f.Acknowledge("ns/hook/a", Ack{Attempts: 0, Cached: true})
		expect(t, "view while the cache is stale", f.State("ns/hook/a"), State{Phase: Written, Attempts: 1})
		f.Acknowledge("ns/hook/a", Ack{Attempts: 1, Cached: true})
		expect(t, "view once the cache shows it", f.State("ns/hook/a"), State{Phase: None, Attempts: 1})
		f.wait(keepShown)
		f.Acknowledge("ns/hook/b", Ack{Attempts: 1}) // whatever comes next sweeps
		expect(t, "view a minute later", f.State("ns/hook/a"), State{})
	})
}

func TestSubmitRefusesAnAttemptThatIsUnderWayOrWasMade(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.silent = true
		f.answer("ns/hook", status(500, 20*ms))
		refused := func(when string, number int) {
			t.Helper()
			if f.Submit(f.job("ns/hook/a", number)) {
				t.Errorf("Submit took attempt %d %s", number, when)
			}
		}
		f.submit("ns/hook/a")
		refused("while it is queued", 1)
		f.settleDown()
		refused("while it is under way", 1)
		refused("while another is under way", 2)
		f.wait(20 * ms)
		refused("while its outcome waits", 1)
		refused("while an outcome waits", 2)
		f.Acknowledge("ns/hook/a", Ack{Attempts: 1})
		refused("after it was written", 1)
		f.submitJob(f.job("ns/hook/a", 2))
		expect(t, "attempts known while the next is queued", f.State("ns/hook/a").Attempts, 1)
		f.wait(20 * ms)
		f.Acknowledge("ns/hook/a", Ack{Dropped: true})
		refused("after it was dropped", 2)
		f.submitJob(f.job("ns/hook/a", 3))
		expect(t, "sent", f.count("ns/hook"), 2)
	})
}

func TestAFailedPreparationIsNoAttempt(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.silent = true
		missing := errors.New("secret not found")
		f.prepare = func(context.Context, types.UID) error { return missing }
		f.submit("ns/hook/a", "ns/hook/b")
		f.settleDown()
		expect(t, "view", f.State("ns/hook/a"),
			State{Phase: Finished, Outcome: Outcome{Number: 1, Note: "note", Err: missing}})
		expect(t, "unsettled", len(f.unsettled()), 0)
		expect(t, "stats", f.Stats().Unprepared, 2)
		expect(t, "calls of Wake", len(f.calls()), 2)
		f.Acknowledge("ns/hook/a", Ack{Dropped: true})
		f.Acknowledge("ns/hook/b", Ack{Attempts: 0})
		expect(t, "view after Dropped", f.State("ns/hook/a"), State{})
		expect(t, "view after Written", f.State("ns/hook/b"), State{})
		f.prepare = nil
		f.submit("ns/hook/a", "ns/hook/b")
		f.wait(10 * ms)
		expect(t, "sent", f.count("ns/hook"), 1)
	})
}

func TestPrepareIsBoundedInTime(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.prepare = func(ctx context.Context, _ types.UID) error {
			<-ctx.Done()
			return ctx.Err()
		}
		f.submit("ns/hook/a")
		f.wait(prepareTimeout)
		expect(t, "error", f.outcome("ns/hook/a").Err, context.DeadlineExceeded)
		expect(t, "state: what is slow here is not the endpoint", f.stateOf("ns/hook"), endpoint.Unproven)
	})
}

func TestAnAttemptThatIsStillThereAfterItsTimeoutIsLost(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hook", func(ctx context.Context, _ dispatcher.Request) (dispatcher.Result, error) {
			<-ctx.Done()
			return dispatcher.Result{}, ctx.Err()
		})
		f.submit("ns/hook/a")
		f.wait(3*(10*time.Second+sendGrace) + 2*time.Second)
		expect(t, "reason", f.outcome("ns/hook/a").Result.Reason, dispatcher.ReasonDispatcherLost)
	})
}

func TestWithdraw(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.submit("ns/hook/a", "ns/hook/b", "ns/hook/c")
		f.settleDown()
		expect(t, "Withdraw of what is under way", f.Cancel("ns/hook/a"), false)
		expect(t, "Withdraw of what is queued", f.Cancel("ns/hook/b"), true)
		expect(t, "Withdraw of what is gone", f.Cancel("ns/hook/b"), false)
		f.wait(time.Second)
		expectList(t, "sent", f.order(), []string{"ns/hook/a", "ns/hook/c"})
		f.submit("ns/hook/b")
		f.wait(time.Second)
		expectList(t, "sent", f.order(), []string{"ns/hook/a", "ns/hook/c", "ns/hook/b"})
	})
}

func TestForgetDropsADeliveryInEveryPhase(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.silent = true
		f.answer("ns/hook", status(200, time.Second/2))
		f.submit("ns/hook/sending", "ns/hook/queued", "ns/other/finished")
		f.wait(20 * ms)
		for _, uid := range []types.UID{"ns/hook/sending", "ns/hook/queued", "ns/other/finished"} {
			f.Acknowledge(uid, Ack{Gone: true})
		}
		expect(t, "under way", f.State("ns/hook/sending").Phase, UnderWay)
		expect(t, "queued", f.State("ns/hook/queued"), State{})
		expect(t, "finished", f.State("ns/other/finished"), State{Phase: None, Attempts: 1})
		f.wait(time.Second)
		expect(t, "under way, when it has ended", f.State("ns/hook/sending"), State{Phase: None, Attempts: 1})
		expect(t, "unsettled", len(f.unsettled()), 0)
		expect(t, "calls of Wake", len(f.calls()), 1)
		expect(t, "sent", f.total(), 2)
	})
}

func TestForgetWhilePreparingSendsNothing(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.prepare = func(context.Context, types.UID) error { time.Sleep(ms); return nil }
		f.submit("ns/hook/a")
		f.settleDown()
		f.Acknowledge("ns/hook/a", Ack{Gone: true})
		f.wait(time.Second)
		expect(t, "sent", f.total(), 0)
		expect(t, "view", f.State("ns/hook/a"), State{})
	})
}

func TestObservedWithdrawsAJobThatAnotherProcessMade(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hook", status(200, time.Second/2))
		f.submit("ns/hook/a", "ns/hook/b")
		f.settleDown()
		f.Acknowledge("ns/hook/b", Ack{Attempts: 0, Cached: true})
		expect(t, "phase when the cache shows none", f.State("ns/hook/b").Phase, Queued)
		f.Acknowledge("ns/hook/b", Ack{Attempts: 1, Cached: true})
		expect(t, "phase when the cache shows it", f.State("ns/hook/b").Phase, None)
		f.wait(time.Second)
		expectList(t, "sent", f.order(), []string{"ns/hook/a"})
	})
}

func TestTheLastAttemptIsRememberedThoughTheCacheNeverShowsIt(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.silent = true
		f.submit("ns/hook/final", "ns/hook/retried")
		f.wait(time.Second)
		expect(t, "sent", f.total(), 2)
		f.Acknowledge("ns/hook/final", Ack{Attempts: 1, Final: true})
		f.Acknowledge("ns/hook/retried", Ack{Attempts: 1})
		f.wait(keepFinal - ms)
		expect(t, "Submit just before", f.Submit(f.job("ns/hook/final", 1)), false)
		f.wait(ms)
		f.Acknowledge("whatever comes next sweeps", Ack{Gone: true})
		expect(t, "view of the last one", f.State("ns/hook/final"), State{})
		expect(t, "view of one that is retried", f.State("ns/hook/retried"), State{Phase: Written, Attempts: 1})
	})
}

func TestNoMoreThanTheBoundIsUnsettled(t *testing.T) {
	withRunner(t, Options{Unsettled: 8}, func(f *runnerFixture) {
		f.silent = true
		for i := range 40 {
			f.submit(fmt.Sprintf("ns/hook%d/a", i))
		}
		f.wait(time.Minute)
		expect(t, "sent while nothing is written", f.total(), 8)
		f.writeAll()
		f.wait(time.Minute)
		expect(t, "sent when the first were written", f.total(), 16)
	})
}

func TestDrainWaitsForAttemptsUnderWay(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.silent = true
		f.answer("ns/hook", status(200, 5*time.Second))
		f.submit("ns/hook/a", "ns/hook/b")
		f.settleDown()
		short, cancel := context.WithTimeout(f.t.Context(), time.Second)
		defer cancel()
		_, err := f.Drain(short)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain with too little time: %v", err)
		}
		if _, err := f.Drain(f.t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
		expect(t, "time that passed", f.elapsed(), 5*time.Second)
		expectList(t, "unsettled", f.unsettled(), []types.NamespacedName{{Namespace: "ns", Name: "ns/hook/a"}})
		f.writeAll()
		f.submit("ns/other/c")
		f.wait(time.Minute)
		expectList(t, "sent", f.order(), []string{"ns/hook/a"})
		expect(t, "phase of the rest", f.State("ns/hook/b").Phase, Queued)
	})
}

func TestWhenRunEndsNothingMoreIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		r := New(Options{Sender: senderFunc(func(ctx context.Context, _ dispatcher.Request) (dispatcher.Result, error) {
			sent++
			time.Sleep(time.Second)
			return dispatcher.Result{StatusCode: 200}, ctx.Err()
		})})
		f := &runnerFixture{Runner: r, t: t}
		r.Submit(f.job("ns/early/a", 1))
		ctx, stop := context.WithCancel(t.Context())
		go r.Run(ctx)
		synctest.Wait()
		f.prepare = func(context.Context, types.UID) error { time.Sleep(ms); return nil }
		r.Submit(f.job("ns/preparing/a", 1))
		synctest.Wait()
		stop()
		synctest.Wait()
		r.Submit(f.job("ns/late/a", 1))
		time.Sleep(time.Minute)
		expect(t, "sent", sent, 1)
		expect(t, "what was under way", r.State("ns/early/a").Outcome.Result.Succeeded(), true)
		expect(t, "what was being prepared", r.State("ns/preparing/a").Phase, Queued)
		expect(t, "what came later", r.State("ns/late/a").Phase, Queued)
		if r.Run(t.Context()) == nil {
			t.Error("Run a second time: no error")
		}
	})
}

type senderFunc func(context.Context, dispatcher.Request) (dispatcher.Result, error)

func (f senderFunc) Send(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error) {
	return f(ctx, request)
}

func TestForgetWebhookLeavesNothingBehind(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.many("ns/hook", "a", 3)
		f.settleDown()
		f.Reset(types.NamespacedName{Namespace: "ns", Name: "hook"}, WebhookChange{Gone: true})
		f.wait(time.Second)
		expect(t, "sent: jobs stay", f.count("ns/hook"), 3)
		expect(t, "webhooks", len(f.scheduler.webhooks), 0)
		expect(t, "namespaces", len(f.scheduler.namespaces), 0)
		expect(t, "destinations", len(f.scheduler.destinations), 0)
	})
}
