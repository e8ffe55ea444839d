// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// throttles asks to be left alone for a while.
func throttles(code int, retryAfter, after time.Duration) answer {
	return func(context.Context, dispatcher.Request) (dispatcher.Result, error) {
		time.Sleep(after)
		return dispatcher.Result{
			Duration: after, StatusCode: code, Reason: dispatcher.ReasonThrottled, RetryAfter: time.Now().Add(retryAfter),
		}, nil
	}
}

// Writing an outcome can take long: meanwhile a busy webhook would go on and on.
func TestRetryAfterHoldsBeforeTheOutcomeIsWritten(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
		f.many("ns/hook", "before", 40)
		f.wait(time.Second)
		f.silent = true
		f.answer("ns/hook", throttles(429, time.Minute, 20*ms))
		f.many("ns/hook", "after", 60)
		f.settleDown()
		atOnce := f.underWayOf("ns/hook")
		if atOnce < 4 {
			t.Fatalf("under way when the endpoint begins to refuse: %d", atOnce)
		}
		f.wait(time.Minute + 19*ms)
		expect(t, "sent until the hold ends", f.count("ns/hook"), 40+atOnce)
		expect(t, "held", f.HoldUntil(hook).IsZero(), false)
		f.writeAll()
		f.answer("ns/hook", status(200, 20*ms))
		f.wait(maxThrottle + ms)
		expect(t, "under way after the hold", f.underWayOf("ns/hook"), 1)
		f.wait(20 * ms)
		expect(t, "under way after a success", f.underWayOf("ns/hook"), 2)
		f.writeAll()
		f.silent = false
	})
}

func TestRetryAfterHoldsForAnHourAtMost(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hook", inTurn(throttles(503, 100*time.Hour, ms), status(200, ms)))
		f.submit("ns/hook/a", "ns/hook/b")
		f.wait(time.Hour)
		expect(t, "sent within the hour", f.count("ns/hook"), 1)
		f.wait(ms)
		expect(t, "sent after it", f.count("ns/hook"), 2)
	})
}

func TestAnAttemptInPreparationIsReturnedWhenItsWebhookIsHeld(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.prepare = func(context.Context, types.UID) error { time.Sleep(time.Second); return nil }
		f.submit("ns/hook/a", "ns/other/a")
		f.settleDown()
		f.Hold(types.NamespacedName{Namespace: "ns", Name: "hook"}, time.Now().Add(10*time.Second))
		f.wait(time.Second)
		expect(t, "phase", f.State("ns/hook/a").Phase, Queued)
		expect(t, "sent of another webhook", f.count("ns/other"), 1)
		f.wait(9*time.Second - ms)
		expect(t, "sent while it is held", f.count("ns/hook"), 0)
		f.wait(time.Second + ms)
		expect(t, "sent afterwards", f.count("ns/hook"), 1)
	})
}

// Each delivery that gets a 410 has failed for good, and those that are held
// until the webhook is enabled have not.
func TestNothingFollowsA410BeforeItIsWritten(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.many("ns/hook", "before", 40)
		f.wait(time.Second)
		f.silent = true
		f.answer("ns/hook", func(context.Context, dispatcher.Request) (dispatcher.Result, error) {
			time.Sleep(20 * ms)
			return dispatcher.Result{StatusCode: 410, Reason: dispatcher.ReasonGone}, nil
		})
		f.many("ns/hook", "after", 60)
		f.settleDown()
		atOnce := f.underWayOf("ns/hook")
		f.wait(endpoint.GoneFor)
		expect(t, "sent before it may be known to be disabled", f.count("ns/hook"), 40+atOnce)
		f.writeAll()
		f.wait(maxThrottle + 20*ms)
		expect(t, "sent then", f.count("ns/hook"), 41+atOnce)
		f.writeAll()
		f.silent = false
	})
}

// A test event does not count: others follow at once.
func TestA410ToATestEventHoldsNothing(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hook", inTurn(func(context.Context, dispatcher.Request) (dispatcher.Result, error) {
			return dispatcher.Result{StatusCode: 410, Reason: dispatcher.ReasonGone}, nil
		}, status(200, ms)))
		test := f.job("ns/hook/a", 1)
		prepare := test.Prepare
		test.Prepare = func(ctx context.Context) (dispatcher.Request, any, error) {
			request, note, err := prepare(ctx)
			request.Test = true
			return request, note, err
		}
		f.submitJob(test)
		f.submit("ns/hook/b")
		f.wait(ms)
		expect(t, "sent", f.count("ns/hook"), 2)
	})
}

// A change of another kind can come before the outcome is written, and each delivery
// that gets a 410 has failed for good.
func TestDisablingOrEnablingAWebhookEndsTheHoldOfA410(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
		f.answer("ns/hook", inTurn(func(context.Context, dispatcher.Request) (dispatcher.Result, error) {
			return dispatcher.Result{StatusCode: 410, Reason: dispatcher.ReasonGone}, nil
		}, status(200, ms)))
		f.submit("ns/hook/a", "ns/hook/b")
		f.wait(time.Second)
		f.Reset(hook, WebhookChange{})
		f.wait(time.Second)
		expect(t, "sent after another change", f.count("ns/hook"), 1)
		f.Reset(hook, WebhookChange{Judged: true})
		f.wait(ms)
		expect(t, "sent once it is disabled, or enabled", f.count("ns/hook"), 2)

		f.answer("ns/hook", inTurn(throttles(429, time.Minute, ms), status(200, ms)))
		f.submit("ns/hook/c")
		f.wait(time.Second)
		f.submit("ns/hook/d")
		f.Reset(hook, WebhookChange{Judged: true})
		f.wait(time.Second)
		expect(t, "sent during a pause that the endpoint asked for", f.count("ns/hook"), 3)
	})
}

func TestAPauseThatIsOverDoesNotKeepTheHoldOfA410(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hook", inTurn(throttles(503, -ms, ms), func(context.Context, dispatcher.Request) (dispatcher.Result, error) {
			return dispatcher.Result{StatusCode: 410, Reason: dispatcher.ReasonGone}, nil
		}, status(200, ms)))
		f.submit("ns/hook/a", "ns/hook/b", "ns/hook/c")
		f.wait(5 * time.Second)
		expect(t, "sent until the 410", f.count("ns/hook"), 2)
		f.Reset(types.NamespacedName{Namespace: "ns", Name: "hook"}, WebhookChange{Judged: true})
		f.wait(ms)
		expect(t, "sent once it is disabled, or enabled", f.count("ns/hook"), 3)
	})
}

// What a deleted webhook's endpoint says says nothing about another webhook of its name.
func TestAWebhookThatIsMadeAnewHearsNothingOfTheFormerOne(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hook", inTurn(func(context.Context, dispatcher.Request) (dispatcher.Result, error) {
			time.Sleep(2 * time.Second)
			return dispatcher.Result{StatusCode: 410, Reason: dispatcher.ReasonGone}, nil
		}, status(200, ms)))
		f.submit("ns/hook/a")
		f.wait(time.Second)
		f.Reset(types.NamespacedName{Namespace: "ns", Name: "hook"}, WebhookChange{Gone: true})
		f.wait(2 * time.Second)
		f.submit("ns/hook/b")
		f.wait(time.Second)
		expect(t, "sent", f.count("ns/hook"), 2)
	})
}

// What an endpoint asked for, or did, says nothing about another one. Jobs that
// were queued for the old one must not wait for a new one to come along.
func TestARedirectedWebhookStartsAfreshWithItsQueue(t *testing.T) {
	for name, address := range map[string]string{"elsewhere": "elsewhere.example.com:443", "another path": "ns.hook:443"} {
		t.Run(name, func(t *testing.T) {
			withRunner(t, Options{}, func(f *runnerFixture) {
				hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
				f.answer("ns/hook", inTurn(hangs(), throttles(429, time.Hour, ms)))
				f.many("ns/hook", "a", 10)
				f.wait(20 * time.Second)
				expect(t, "sent to the old endpoint", f.count("ns/hook"), 2)
				expect(t, "state before", f.stateOf("ns/hook"), endpoint.Slow)
				f.answer("ns/hook", status(200, ms))
				f.Reset(hook, WebhookChange{Destination: address})
				f.settleDown()
				expect(t, "state after", f.stateOf("ns/hook"), endpoint.Unproven)
				expect(t, "under way", f.underWayOf("ns/hook"), 1)
				f.wait(time.Second)
				expect(t, "sent in all", f.count("ns/hook"), 10)
				expect(t, "destinations", len(f.scheduler.destinations), 1)
			})
		})
	}
}

// An answer of the old endpoint that comes late does not hold the new one.
func TestALateRetryAfterOfTheOldEndpointHoldsNothing(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.answer("ns/hook", inTurn(throttles(429, time.Hour, 2*time.Second), status(200, ms)))
		f.submit("ns/hook/a", "ns/hook/b", "ns/hook/c")
		f.wait(time.Second)
		f.Reset(types.NamespacedName{Namespace: "ns", Name: "hook"}, WebhookChange{Destination: "ns.hook:443"})
		f.wait(5 * time.Second)
		expect(t, "sent", f.count("ns/hook"), 3)
	})
}

func TestRedirectingAnUnknownWebhookCreatesNone(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.Reset(types.NamespacedName{Namespace: "ns", Name: "hook"}, WebhookChange{Destination: "elsewhere.example.com:443"})
		expect(t, "webhooks", len(f.scheduler.webhooks), 0)
		expect(t, "destinations", len(f.scheduler.destinations), 0)
	})
}
