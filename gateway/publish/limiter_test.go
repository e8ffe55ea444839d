// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// limiterFixture is a limiter with a clock; hasWaiting says whether older deliveries wait.
type limiterFixture struct {
	*limiter

	now        time.Time
	hasWaiting bool
}

func newLimiterFixture() *limiterFixture {
	return &limiterFixture{limiter: newLimiter(8, 4, 6, time.Second), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// webhookNamed is a webhook whose namespace stands in its name before a slash.
func webhookNamed(name, url string) *v1alpha1.Webhook {
	namespace, _, _ := strings.Cut(name, "/")
	if namespace == name {
		namespace = ""
	}
	return &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name)}, Spec: v1alpha1.WebhookSpec{URL: url}}
}

// endpointURL is the endpoint of a webhook, on a host of its own.
func endpointURL(name string) string {
	return "https://" + strings.ReplaceAll(name, "/", ".") + ".example.com/"
}

func keyNamed(name string) webhookKey { return newWebhookKey(webhookNamed(name, "")) }

func (f *limiterFixture) tryAcquire(name string) (*endpoint.Slot, refusal) {
	return f.acquire(webhookNamed(name, endpointURL(name)), f.now, func(time.Time) bool { return f.hasWaiting })
}

// mustAcquire acquires a slot, and fails the test without one.
func (f *limiterFixture) mustAcquire(t *testing.T, name string) *endpoint.Slot {
	t.Helper()
	s, reason := f.tryAcquire(name)
	if s == nil {
		t.Fatalf("no slot for %s: %s", name, reason)
	}
	return s
}

func (f *limiterFixture) expectRefusal(t *testing.T, name string, want refusal) {
	t.Helper()
	s, reason := f.tryAcquire(name)
	if reason != want {
		t.Errorf("%s: got %q, want %q", name, reason, want)
	}
	if s != nil {
		f.release(s, f.now)
	}
}

// finish ends an attempt with a result.
func (f *limiterFixture) finish(s *endpoint.Slot, took time.Duration, result dispatcher.Result) {
	f.now = f.now.Add(took)
	f.releaseWithResult(s, &result, took, f.now)
}

// succeed makes webhooks proven.
func (f *limiterFixture) succeed(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		f.finish(f.mustAcquire(t, name), time.Millisecond, succeededResult())
	}
}

func succeededResult() dispatcher.Result { return dispatcher.Result{StatusCode: http.StatusOK} }
func failedResult() dispatcher.Result {
	return dispatcher.Result{StatusCode: http.StatusInternalServerError, Reason: dispatcher.ReasonHTTPStatus}
}

func TestUnprovenWebhooksGetFewSlots(t *testing.T) {
	f := newLimiterFixture()
	f.mustAcquire(t, "new")
	second := f.mustAcquire(t, "new")
	f.expectRefusal(t, "new", refusedFull)
	f.finish(second, time.Millisecond, succeededResult())
	for range 3 {
		f.mustAcquire(t, "new")
	}
	f.expectRefusal(t, "new", refusedFull)
}

func TestHangingEndpointsLeaveOthersTheirSlots(t *testing.T) {
	f := newLimiterFixture()
	f.succeed(t, "well", "also")
	for _, name := range []string{"hangs/a", "hangs/a", "hangs/b", "too/a"} {
		f.mustAcquire(t, name)
	}
	f.expectRefusal(t, "c", refusedFull)
	for range 3 {
		f.mustAcquire(t, "well")
		f.mustAcquire(t, "also")
	}
	f.expectRefusal(t, "well", refusedFull)
}

// A namespace finds a slot whatever another one does.
func TestNamespaceLeavesSlotsToOthers(t *testing.T) {
	for _, bound := range []string{"of all", "of a destination"} {
		t.Run(bound, func(t *testing.T) {
			f := &limiterFixture{limiter: newLimiter(32, 64, 32, time.Second), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
			try := func(name string) *endpoint.Slot {
				url := "https://shared.example.com/"
				if bound == "of all" {
					url = endpointURL(name)
				}
				s, _ := f.acquire(webhookNamed(name, url), f.now, nil)
				return s
			}
			for _, name := range []string{"a/1", "b/1", "c/1"} {
				f.finish(try(name), time.Millisecond, succeededResult())
			}
			var got []int
			for _, name := range []string{"a/1", "b/1", "c/1"} {
				n := 0
				for try(name) != nil {
					n++
				}
				got = append(got, n)
			}
			if want := []int{24, 4, 2}; !slices.Equal(got, want) {
				t.Errorf("namespaces got %v slots, want %v", got, want)
			}
		})
	}
}

// Publishers may wait for ten seconds; an attempt that takes so long does not count as prompt.
func TestSlowAttemptsGiveUpTheSlotsOfPromptOnes(t *testing.T) {
	f := newLimiterFixture()
	f.succeed(t, "hangs/a", "hangs/b", "well")
	for range 3 {
		f.mustAcquire(t, "hangs/a")
		f.mustAcquire(t, "hangs/b")
	}
	f.now = f.now.Add(f.slots.Rules().SlowAfter)
	for range 4 {
		f.mustAcquire(t, "well")
	}
	if _, uncertain := f.slots.UnderWay(); uncertain != 6 {
		t.Errorf("%d attempts are known to be slow, want 6", uncertain)
	}
}

func TestRecentSuccessCountsMoreThanAStatus(t *testing.T) {
	failing := webhookNamed("one", "https://one.example.com/")
	failing.Status = v1alpha1.WebhookStatus{
		State:      v1alpha1.WebhookFailing,
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}},
	}
	for name, c := range map[string]struct {
		happens func(f *limiterFixture)
		well    bool
	}{
		"the gateway knows no attempt":                       {func(*limiterFixture) {}, false},
		"a success shortly before the failure of the status": {func(f *limiterFixture) { f.succeed(t, "one"); f.now = f.now.Add(-time.Second) }, true},
		"a success long before the failure of the status":    {func(f *limiterFixture) { f.succeed(t, "one"); f.now = f.now.Add(overrulesStatusFor + 1) }, false},
		"a success after the failure of the status, and no attempt for long": {func(f *limiterFixture) {
			f.now = f.now.Add(time.Minute + time.Second)
			f.succeed(t, "one")
			f.now = f.now.Add(time.Hour)
		}, true},
		"one failure after a success": {func(f *limiterFixture) {
			f.succeed(t, "one")
			f.finish(f.mustAcquire(t, "one"), time.Millisecond, failedResult())
		}, true},
		"as many failures as open the circuit": {func(f *limiterFixture) {
			f.succeed(t, "one")
			for range endpoint.FailuresToOpen {
				f.finish(f.mustAcquire(t, "one"), time.Millisecond, failedResult())
			}
		}, false},
		"a success of a webhook with another url": {func(f *limiterFixture) {
			s, _ := f.acquire(webhookNamed("one", "https://former.example.com/"), f.now, nil)
			f.finish(s, time.Millisecond, succeededResult())
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newLimiterFixture()
			failing.Status.LastFailureTime = new(metav1.NewMicroTime(f.now.Add(time.Minute)))
			c.happens(f)
			first := &firstAttempter{limiter: f.limiter, now: func() time.Time { return f.now }}
			if got := first.canAttempt(failing); got != c.well {
				t.Errorf("well: %v, want %v", got, c.well)
			}
			throttles := newStoreThrottles(f.limiter, first.now)
			if throttled := throttles.find(failing) == throttles.failing; throttled == c.well {
				t.Errorf("stored as deliveries to a failing endpoint are: %v, want %v", throttled, !c.well)
			}
		})
	}
}

func TestDestinationHasItsOwnBound(t *testing.T) {
	f := newLimiterFixture()
	take := func(name string) (*endpoint.Slot, refusal) {
		return f.acquire(webhookNamed(name, "https://shared.example.com/"+name), f.now, func(time.Time) bool { return false })
	}
	for _, name := range []string{"a", "b"} {
		s, _ := take(name)
		f.finish(s, time.Millisecond, succeededResult())
	}
	for _, name := range []string{"a", "a", "a", "b", "other/a"} {
		if s, reason := take(name); s == nil {
			t.Fatalf("%s: %s", name, reason)
		}
	}
	if _, reason := take("b"); reason != refusedFull {
		t.Errorf("got %q", reason)
	}
}

func TestSlowEndpointsAreProbedRarely(t *testing.T) {
	f := newLimiterFixture()
	f.succeed(t, "slow")
	for _, pause := range []int{1, 2, 4, 8, 16, 32, 64, 120, 120} {
		pause := time.Duration(pause) * time.Second
		s := f.mustAcquire(t, "slow")
		f.now = f.now.Add(time.Second)
		f.expectRefusal(t, "slow", refusedCircuitOpen)
		f.now = f.now.Add(pause - time.Millisecond)
		f.expectRefusal(t, "slow", refusedCircuitOpen)
		f.releaseWithResult(s, new(succeededResult()), time.Minute, f.now)
		f.now = f.now.Add(pause - time.Millisecond)
		f.expectRefusal(t, "slow", refusedCircuitOpen) // open from the end of the attempt on
		f.now = f.now.Add(time.Millisecond)
	}
	one := f.mustAcquire(t, "slow")
	f.expectRefusal(t, "slow", refusedFull)
	f.finish(one, time.Millisecond, succeededResult())
	for range 2 {
		f.mustAcquire(t, "slow")
	}
}

func TestPromptAnswerClosesTheCircuitOfASlowEndpoint(t *testing.T) {
	f := newLimiterFixture()
	f.succeed(t, "well")
	late, prompt := f.mustAcquire(t, "well"), f.mustAcquire(t, "well")
	f.now = f.now.Add(time.Second)
	f.expectRefusal(t, "well", refusedCircuitOpen)
	f.releaseWithResult(prompt, new(succeededResult()), time.Millisecond, f.now)
	f.expectRefusal(t, "well", "")
	f.releaseWithResult(late, new(succeededResult()), 2*time.Second, f.now)
	f.expectRefusal(t, "well", "")
}

func TestShortWaitOfAPublisherDoesNotMakeAnEndpointSlow(t *testing.T) {
	f := newLimiterFixture()
	f.succeed(t, "well")
	s := f.mustAcquire(t, "well")
	f.now = f.now.Add(100 * time.Millisecond) // its publisher has its answer
	f.expectRefusal(t, "well", "")
	f.finish(s, 800*time.Millisecond, succeededResult())
	f.expectRefusal(t, "well", "")
	f.finish(f.mustAcquire(t, "well"), 1100*time.Millisecond, succeededResult())
	f.expectRefusal(t, "well", refusedCircuitOpen)
}

func TestConsecutiveFailuresOpenTheCircuit(t *testing.T) {
	f := newLimiterFixture()
	f.succeed(t, "down")
	for range endpoint.FailuresToOpen - 1 {
		f.finish(f.mustAcquire(t, "down"), time.Millisecond, failedResult())
	}
	for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		f.finish(f.mustAcquire(t, "down"), time.Millisecond, failedResult())
		f.now = f.now.Add(time.Duration(seconds)*time.Second - time.Millisecond)
		f.expectRefusal(t, "down", refusedCircuitOpen)
		f.now = f.now.Add(time.Millisecond)
	}
	f.succeed(t, "down")
	for range endpoint.FailuresToOpen - 1 {
		f.finish(f.mustAcquire(t, "down"), time.Millisecond, failedResult())
	}
	f.expectRefusal(t, "down", "")
}

func TestDeliveriesOfARetryAfterHoldGoFirst(t *testing.T) {
	f := newLimiterFixture()
	f.succeed(t, "busy")
	busy := failedResult()
	busy.Reason, busy.RetryAfter = dispatcher.ReasonThrottled, f.now.Add(5*time.Second)
	f.finish(f.mustAcquire(t, "busy"), time.Millisecond, busy)
	f.now = f.now.Add(4 * time.Second)
	f.expectRefusal(t, "busy", refusedCircuitOpen)
	f.now, f.hasWaiting = f.now.Add(2*time.Second), true
	f.expectRefusal(t, "busy", refusedCircuitOpen)
	f.hasWaiting = false
	f.expectRefusal(t, "busy", refusedCircuitOpen) // waiting deliveries are looked up once a second
	f.now = f.now.Add(time.Second)
	f.expectRefusal(t, "busy", "")
}

func TestAnotherURLHasAClosedCircuit(t *testing.T) {
	f := newLimiterFixture()
	f.finish(f.mustAcquire(t, "moved"), time.Minute, failedResult())
	f.expectRefusal(t, "moved", refusedCircuitOpen)
	s, reason := f.acquire(webhookNamed("moved", "https://elsewhere.example.com"), f.now, nil)
	if s == nil {
		t.Fatal(reason)
	}
	f.forgetWebhook(keyNamed("moved"))
	f.release(s, f.now)
	if destinations, namespaces := f.slots.Size(); len(f.endpoints) != 0 || destinations != 0 || namespaces != 0 || f.underWay() != 0 {
		t.Errorf("left: %d webhooks, %d destinations, %d namespaces, %d under way", len(f.endpoints), destinations, namespaces, f.underWay())
	}
}

// Without the probe an endpoint that was down for minutes would get no first attempts for half a minute after it has
// recovered.
func TestSuccessfulRetryAllowsAProbe(t *testing.T) {
	succeeded := func(f *limiterFixture, ago time.Duration) {
		f.observeAttempt(keyNamed("one"), store.LatestAttempt{EndTime: f.now.Add(-ago), Succeeded: true}, f.now)
	}
	for name, c := range map[string]struct {
		happens func(f *limiterFixture)
		want    refusal
	}{
		"no retry":               {func(*limiterFixture) {}, refusedCircuitOpen},
		"a retry that failed":    {func(f *limiterFixture) { f.observeAttempt(keyNamed("one"), store.LatestAttempt{EndTime: f.now}, f.now) }, refusedCircuitOpen},
		"a retry that succeeded": {func(f *limiterFixture) { succeeded(f, 0) }, ""},
		"a retry that succeeded before the failures": {func(f *limiterFixture) { succeeded(f, 3*time.Second) }, refusedCircuitOpen},
		"a retry that succeeded during a Retry-After hold": {func(f *limiterFixture) {
			f.observeAttempt(keyNamed("one"), store.LatestAttempt{EndTime: f.now, RetryAfter: f.now.Add(time.Minute)}, f.now)
			succeeded(f, 0)
		}, refusedCircuitOpen},
		"a retry that succeeded during a probe": {func(f *limiterFixture) { succeeded(f, 0); _, _ = f.tryAcquire("one") }, refusedFull},
	} {
		t.Run(name, func(t *testing.T) {
			f := newLimiterFixture()
			f.succeed(t, "one")
			for range 8 {
				f.now = f.now.Add(endpoint.MaxOpen)
				f.finish(f.mustAcquire(t, "one"), time.Millisecond, failedResult())
			}
			f.now = f.now.Add(time.Second)
			c.happens(f)
			f.expectRefusal(t, "one", c.want)
		})
	}
}

func TestObservedTimeoutOpensTheCircuit(t *testing.T) {
	tells := func(f *limiterFixture, timedOut bool) {
		f.observeAttempt(keyNamed("one"), store.LatestAttempt{EndTime: f.now, TimedOut: timedOut}, f.now)
	}
	for name, c := range map[string]struct {
		happens func(f *limiterFixture)
		want    refusal
	}{
		"no observed attempt":                       {func(*limiterFixture) {}, ""},
		"a timeout":                                 {func(f *limiterFixture) { tells(f, true) }, refusedCircuitOpen},
		"a failed attempt":                          {func(f *limiterFixture) { tells(f, false) }, ""},
		"a timeout long ago":                        {func(f *limiterFixture) { tells(f, true); f.now = f.now.Add(endpoint.HangingFor) }, ""},
		"a timeout a while ago":                     {func(f *limiterFixture) { tells(f, true); f.now = f.now.Add(endpoint.HangingFor - time.Second) }, refusedCircuitOpen},
		"a timeout, then answers":                   {func(f *limiterFixture) { tells(f, true); f.now = f.now.Add(time.Second); tells(f, false) }, ""},
		"a timeout observed after a later answer":   {func(f *limiterFixture) { tells(f, false); f.now = f.now.Add(-time.Second); tells(f, true) }, ""},
		"a timeout of a webhook that was forgotten": {func(f *limiterFixture) { tells(f, true); f.forgetWebhook(keyNamed("one")) }, ""},
		"a timeout before a success of this gateway": {func(f *limiterFixture) {
			s := f.mustAcquire(t, "one")
			tells(f, true)
			f.finish(s, time.Second/2, succeededResult())
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newLimiterFixture()
			f.succeed(t, "one")
			f.now = f.now.Add(time.Second)
			c.happens(f)
			if hangs, _ := f.classify(webhookNamed("one", "https://one.example.com/"), f.now); hangs != (c.want != "") {
				t.Errorf("stored as what hangs is: %v", hangs)
			}
			f.expectRefusal(t, "one", c.want)
		})
	}
}
