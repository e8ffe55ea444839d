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
)

const ms = time.Millisecond

func TestAJobGoesFromQueuedToWritten(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.silent = true
		w.submit("ns/hook/a", "ns/hook/b")
		w.settleDown()
		expect(t, "view while it waits", w.View("ns/hook/b"), View{Phase: Queued})
		w.Withdraw("ns/hook/b")
		expect(t, "view while it is made", w.View("ns/hook/a"), View{Phase: InFlight})
		w.wait(20 * ms)
		result := dispatcher.Result{Duration: 20 * ms, StatusCode: 200}
		finished := View{Phase: Finished, Attempts: 1, Outcome: Outcome{Number: 1, Result: result, Note: "note"}}
		expect(t, "view of the outcome", w.View("ns/hook/a"), finished)
		expectList(t, "calls of Wake", w.calls(), []types.NamespacedName{{Namespace: "ns", Name: "ns/hook/a"}})
		expectList(t, "unsettled", w.Unsettled(), w.calls())
		w.Written("ns/hook/a", 0, false)
		expect(t, "view after a write that did not hold it", w.View("ns/hook/a"), finished)
		w.Written("ns/hook/a", 1, true)
		expect(t, "view once written", w.View("ns/hook/a"), View{Phase: Written, Attempts: 1})
		w.Observed("ns/hook/a", 0)
		expect(t, "view while the cache is stale", w.View("ns/hook/a"), View{Phase: Written, Attempts: 1})
		w.Observed("ns/hook/a", 1)
		expect(t, "view once the cache shows it", w.View("ns/hook/a"), View{Phase: None, Attempts: 1})
		w.wait(lingers)
		w.Written("ns/hook/b", 1, false) // whatever comes next sweeps
		expect(t, "view a minute later", w.View("ns/hook/a"), View{})
	})
}

func TestSubmitRefusesWhatIsUnderWayOrWasMade(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.silent = true
		w.answer("ns/hook", status(500, 20*ms))
		refused := func(when string, number int) {
			t.Helper()
			if w.Submit(w.job("ns/hook/a", number)) {
				t.Errorf("Submit took attempt %d %s", number, when)
			}
		}
		w.submit("ns/hook/a")
		refused("while it is queued", 1)
		w.settleDown()
		refused("while it is in flight", 1)
		refused("while another is in flight", 2)
		w.wait(20 * ms)
		refused("while its outcome waits", 1)
		refused("while an outcome waits", 2)
		w.Written("ns/hook/a", 1, false)
		refused("after it was written", 1)
		w.submitJob(w.job("ns/hook/a", 2))
		expect(t, "attempts known while the next is queued", w.View("ns/hook/a").Attempts, 1)
		w.wait(20 * ms)
		w.Dropped("ns/hook/a")
		refused("after it was dropped", 2)
		w.submitJob(w.job("ns/hook/a", 3))
		expect(t, "sent", w.count("ns/hook"), 2)
	})
}

func TestAFailedPreparationIsNoAttempt(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.silent = true
		missing := errors.New("secret not found")
		w.prepare = func(context.Context, types.UID) error { return missing }
		w.submit("ns/hook/a", "ns/hook/b")
		w.settleDown()
		expect(t, "view", w.View("ns/hook/a"),
			View{Phase: Finished, Outcome: Outcome{Number: 1, Note: "note", Err: missing}})
		expect(t, "unsettled", len(w.Unsettled()), 0)
		expect(t, "stats", w.Stats().Unprepared, 2)
		expect(t, "calls of Wake", len(w.calls()), 2)
		w.Dropped("ns/hook/a")
		w.Written("ns/hook/b", 0, false)
		expect(t, "view after Dropped", w.View("ns/hook/a"), View{})
		expect(t, "view after Written", w.View("ns/hook/b"), View{})
		w.prepare = nil
		w.submit("ns/hook/a", "ns/hook/b")
		w.wait(10 * ms)
		expect(t, "sent", w.count("ns/hook"), 1)
	})
}

func TestPrepareIsBoundedInTime(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.prepare = func(ctx context.Context, _ types.UID) error {
			<-ctx.Done()
			return ctx.Err()
		}
		w.submit("ns/hook/a")
		w.wait(prepareTimeout)
		expect(t, "error", w.outcome("ns/hook/a").Err, context.DeadlineExceeded)
		expect(t, "class: what is slow here is not the endpoint", w.classOf("ns/hook"), Unproven)
	})
}

func TestAnAttemptThatIsStillThereAfterItsTimeoutIsLost(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/hook", func(ctx context.Context, _ dispatcher.Request) (dispatcher.Result, error) {
			<-ctx.Done()
			return dispatcher.Result{}, ctx.Err()
		})
		w.submit("ns/hook/a")
		w.wait(3*(10*time.Second+sendGrace) + 2*time.Second)
		expect(t, "reason", w.outcome("ns/hook/a").Result.Reason, dispatcher.ReasonDispatcherLost)
	})
}

func TestWithdraw(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.submit("ns/hook/a", "ns/hook/b", "ns/hook/c")
		w.settleDown()
		expect(t, "Withdraw of what is in flight", w.Withdraw("ns/hook/a"), false)
		expect(t, "Withdraw of what is queued", w.Withdraw("ns/hook/b"), true)
		expect(t, "Withdraw of what is gone", w.Withdraw("ns/hook/b"), false)
		w.wait(time.Second)
		expectList(t, "sent", w.order(), []string{"ns/hook/a", "ns/hook/c"})
		w.submit("ns/hook/b")
		w.wait(time.Second)
		expectList(t, "sent", w.order(), []string{"ns/hook/a", "ns/hook/c", "ns/hook/b"})
	})
}

func TestForgetDropsADeliveryInEveryPhase(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.silent = true
		w.answer("ns/hook", status(200, time.Second/2))
		w.submit("ns/hook/flying", "ns/hook/queued", "ns/other/finished")
		w.wait(20 * ms)
		for _, uid := range []types.UID{"ns/hook/flying", "ns/hook/queued", "ns/other/finished"} {
			w.Forget(uid)
		}
		expect(t, "in flight", w.View("ns/hook/flying").Phase, InFlight)
		expect(t, "queued", w.View("ns/hook/queued"), View{})
		expect(t, "finished", w.View("ns/other/finished"), View{Phase: None, Attempts: 1})
		w.wait(time.Second)
		expect(t, "in flight, when it has ended", w.View("ns/hook/flying"), View{Phase: None, Attempts: 1})
		expect(t, "unsettled", len(w.Unsettled()), 0)
		expect(t, "calls of Wake", len(w.calls()), 1)
		expect(t, "sent", w.total(), 2)
	})
}

func TestForgetWhilePreparingSendsNothing(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.prepare = func(context.Context, types.UID) error { time.Sleep(ms); return nil }
		w.submit("ns/hook/a")
		w.settleDown()
		w.Forget("ns/hook/a")
		w.wait(time.Second)
		expect(t, "sent", w.total(), 0)
		expect(t, "view", w.View("ns/hook/a"), View{})
	})
}

func TestObservedWithdrawsWhatSomebodyElseMade(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/hook", status(200, time.Second/2))
		w.submit("ns/hook/a", "ns/hook/b")
		w.settleDown()
		w.Observed("ns/hook/b", 0)
		expect(t, "phase when the cache shows none", w.View("ns/hook/b").Phase, Queued)
		w.Observed("ns/hook/b", 1)
		expect(t, "phase when the cache shows it", w.View("ns/hook/b").Phase, None)
		w.wait(time.Second)
		expectList(t, "sent", w.order(), []string{"ns/hook/a"})
	})
}

func TestTheLastAttemptIsRememberedThoughTheCacheNeverShowsIt(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.silent = true
		w.submit("ns/hook/final", "ns/hook/retried")
		w.wait(time.Second)
		expect(t, "sent", w.total(), 2)
		w.Written("ns/hook/final", 1, true)
		w.Written("ns/hook/retried", 1, false)
		w.wait(finalLingers - ms)
		expect(t, "Submit just before", w.Submit(w.job("ns/hook/final", 1)), false)
		w.wait(ms)
		w.Forget("whatever comes next sweeps")
		expect(t, "view of the last one", w.View("ns/hook/final"), View{})
		expect(t, "view of one that is retried", w.View("ns/hook/retried"), View{Phase: Written, Attempts: 1})
	})
}

func TestNoMoreThanTheBoundIsUnsettled(t *testing.T) {
	inWorld(t, Options{Unsettled: 8}, func(w *world) {
		w.silent = true
		for i := range 40 {
			w.submit(fmt.Sprintf("ns/hook%d/a", i))
		}
		w.wait(time.Minute)
		expect(t, "sent while nothing is written", w.total(), 8)
		w.writeAll()
		w.wait(time.Minute)
		expect(t, "sent when the first were written", w.total(), 16)
	})
}

func TestDrainWaitsForWhatIsInFlight(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.silent = true
		w.answer("ns/hook", status(200, 5*time.Second))
		w.submit("ns/hook/a", "ns/hook/b")
		w.settleDown()
		short, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		err := w.Drain(short)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain with too little time: %v", err)
		}
		if err := w.Drain(w.t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
		expect(t, "time that passed", w.elapsed(), 5*time.Second)
		expectList(t, "unsettled", w.Unsettled(), []types.NamespacedName{{Namespace: "ns", Name: "ns/hook/a"}})
		w.writeAll()
		w.submit("ns/other/c")
		w.wait(time.Minute)
		expectList(t, "sent", w.order(), []string{"ns/hook/a"})
		expect(t, "phase of the rest", w.View("ns/hook/b").Phase, Queued)
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
		w := &world{Runner: r, t: t}
		r.Submit(w.job("ns/early/a", 1))
		ctx, stop := context.WithCancel(t.Context())
		go r.Run(ctx)
		synctest.Wait()
		w.prepare = func(context.Context, types.UID) error { time.Sleep(ms); return nil }
		r.Submit(w.job("ns/preparing/a", 1))
		synctest.Wait()
		stop()
		synctest.Wait()
		r.Submit(w.job("ns/late/a", 1))
		time.Sleep(time.Minute)
		expect(t, "sent", sent, 1)
		expect(t, "what was in flight", r.View("ns/early/a").Outcome.Result.Succeeded(), true)
		expect(t, "what was being prepared", r.View("ns/preparing/a").Phase, Queued)
		expect(t, "what came later", r.View("ns/late/a").Phase, Queued)
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
	inWorld(t, Options{}, func(w *world) {
		w.many("ns/hook", "a", 3)
		w.settleDown()
		w.ForgetWebhook(types.NamespacedName{Namespace: "ns", Name: "hook"})
		w.wait(time.Second)
		expect(t, "sent: jobs stay", w.count("ns/hook"), 3)
		expect(t, "webhooks", len(w.webhooks), 0)
		expect(t, "namespaces", len(w.namespaces), 0)
		expect(t, "destinations", len(w.destinations), 0)
	})
}
