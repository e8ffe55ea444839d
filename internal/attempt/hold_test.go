// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
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
	inWorld(t, Options{}, func(w *world) {
		hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
		w.many("ns/hook", "before", 40)
		w.wait(time.Second)
		w.silent = true
		w.answer("ns/hook", throttles(429, time.Minute, 20*ms))
		w.many("ns/hook", "after", 60)
		w.settleDown()
		atOnce := w.flightsOf("ns/hook")
		if atOnce < 4 {
			t.Fatalf("in flight when the endpoint begins to refuse: %d", atOnce)
		}
		w.wait(time.Minute + 19*ms)
		expect(t, "sent until the hold ends", w.count("ns/hook"), 40+atOnce)
		expect(t, "held", w.HoldUntil(hook).IsZero(), false)
		w.writeAll()
		w.answer("ns/hook", status(200, 20*ms))
		w.wait(mostRest + ms)
		expect(t, "in flight after the hold", w.flightsOf("ns/hook"), 1)
		w.wait(20 * ms)
		expect(t, "in flight after a success", w.flightsOf("ns/hook"), 2)
		w.writeAll()
		w.silent = false
	})
}

func TestRetryAfterHoldsForAnHourAtMost(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/hook", inTurn(throttles(503, 100*time.Hour, ms), status(200, ms)))
		w.submit("ns/hook/a", "ns/hook/b")
		w.wait(time.Hour)
		expect(t, "sent within the hour", w.count("ns/hook"), 1)
		w.wait(ms)
		expect(t, "sent after it", w.count("ns/hook"), 2)
	})
}

func TestWhatIsBeingPreparedIsPutBackWhenItsWebhookIsHeld(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.prepare = func(context.Context, types.UID) error { time.Sleep(time.Second); return nil }
		w.submit("ns/hook/a", "ns/other/a")
		w.settleDown()
		w.Hold(types.NamespacedName{Namespace: "ns", Name: "hook"}, time.Now().Add(10*time.Second))
		w.wait(time.Second)
		expect(t, "phase", w.View("ns/hook/a").Phase, Queued)
		expect(t, "sent of another webhook", w.count("ns/other"), 1)
		w.wait(9*time.Second - ms)
		expect(t, "sent while it is held", w.count("ns/hook"), 0)
		w.wait(time.Second + ms)
		expect(t, "sent afterwards", w.count("ns/hook"), 1)
	})
}

// Each delivery that gets a 410 has failed for good, and those that are held
// until somebody enables the webhook have not.
func TestNothingFollowsA410BeforeItIsWritten(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.many("ns/hook", "before", 40)
		w.wait(time.Second)
		w.silent = true
		w.answer("ns/hook", func(context.Context, dispatcher.Request) (dispatcher.Result, error) {
			time.Sleep(20 * ms)
			return dispatcher.Result{StatusCode: 410, Reason: dispatcher.ReasonGone}, nil
		})
		w.many("ns/hook", "after", 60)
		w.settleDown()
		atOnce := w.flightsOf("ns/hook")
		w.wait(goneHold)
		expect(t, "sent before somebody may have said that it is disabled", w.count("ns/hook"), 40+atOnce)
		w.writeAll()
		w.wait(mostRest + 20*ms)
		expect(t, "sent then, as after a 410 to a test event", w.count("ns/hook"), 41+atOnce)
		w.writeAll()
		w.silent = false
	})
}

// What an endpoint asked for, or did, says nothing about another one. Jobs that
// were queued for the old one must not wait for a new one to come along.
func TestARedirectedWebhookStartsAfreshWithWhatIsQueued(t *testing.T) {
	for name, address := range map[string]string{"elsewhere": "elsewhere.example.com:443", "another path": "ns.hook:443"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				hook := types.NamespacedName{Namespace: "ns", Name: "hook"}
				w.answer("ns/hook", inTurn(hangs(), throttles(429, time.Hour, ms)))
				w.many("ns/hook", "a", 10)
				w.wait(20 * time.Second)
				expect(t, "sent to the old endpoint", w.count("ns/hook"), 2)
				expect(t, "class before", w.classOf("ns/hook"), Slow)
				w.answer("ns/hook", status(200, ms))
				w.Redirect(hook, address)
				w.settleDown()
				expect(t, "class after", w.classOf("ns/hook"), Unproven)
				expect(t, "in flight", w.flightsOf("ns/hook"), 1)
				w.wait(time.Second)
				expect(t, "sent in all", w.count("ns/hook"), 10)
				expect(t, "destinations", len(w.destinations), 1)
			})
		})
	}
}

// An answer of the old endpoint that comes late does not hold the new one.
func TestALateRetryAfterOfTheOldEndpointHoldsNothing(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.answer("ns/hook", inTurn(throttles(429, time.Hour, 2*time.Second), status(200, ms)))
		w.submit("ns/hook/a", "ns/hook/b", "ns/hook/c")
		w.wait(time.Second)
		w.Redirect(types.NamespacedName{Namespace: "ns", Name: "hook"}, "ns.hook:443")
		w.wait(5 * time.Second)
		expect(t, "sent", w.count("ns/hook"), 3)
	})
}

func TestRedirectingAnUnknownWebhookMakesNone(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.Redirect(types.NamespacedName{Namespace: "ns", Name: "hook"}, "elsewhere.example.com:443")
		expect(t, "webhooks", len(w.webhooks), 0)
		expect(t, "destinations", len(w.destinations), 0)
	})
}
