// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// track is slots, and a clock, and what waits.
type track struct {
	*limiter

	now     time.Time
	waiting bool
}

func newTrack() *track {
	return &track{limiter: newLimiter(8, 4, 6, time.Second), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// hookNamed is a webhook; what stands before a / is its namespace.
func hookNamed(name, url string) *v1alpha1.Webhook {
	namespace, _, _ := strings.Cut(name, "/")
	if namespace == name {
		namespace = ""
	}
	return &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name)}, Spec: v1alpha1.WebhookSpec{URL: url}}
}

// urlOf is the endpoint of a webhook, on a host of its own.
func urlOf(name string) string {
	return "https://" + strings.ReplaceAll(name, "/", ".") + ".example.com/"
}

func keyNamed(name string) webhookKey { return keyOf(hookNamed(name, "")) }

func (k *track) try(name string) (*slot, refusal) {
	return k.acquire(hookNamed(name, urlOf(name)), k.now, func(time.Time) bool { return k.waiting })
}

// must takes a slot that must be there.
func (k *track) must(t *testing.T, name string) *slot {
	t.Helper()
	at, why := k.try(name)
	if at == nil {
		t.Fatalf("no slot for %s: %s", name, why)
	}
	return at
}

func (k *track) expect(t *testing.T, name string, want refusal) {
	t.Helper()
	at, why := k.try(name)
	if why != want {
		t.Errorf("%s: got %q, want %q", name, why, want)
	}
	if at != nil {
		k.release(at, k.now)
	}
}

// ends lets an attempt end so.
func (k *track) ends(at *slot, took time.Duration, result dispatcher.Result) {
	k.now = k.now.Add(took)
	k.releaseWithResult(at, &result, took, k.now)
}

// proven makes webhooks whose endpoints answer in time.
func (k *track) proven(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		k.ends(k.must(t, name), time.Millisecond, good())
	}
}

func good() dispatcher.Result { return dispatcher.Result{StatusCode: http.StatusOK} }
func bad() dispatcher.Result {
	return dispatcher.Result{StatusCode: http.StatusInternalServerError, Reason: dispatcher.ReasonHTTPStatus}
}

func TestUntriedWebhooksGetFewSlots(t *testing.T) {
	k := newTrack()
	k.must(t, "new")
	second := k.must(t, "new")
	k.expect(t, "new", refusedFull)
	k.ends(second, time.Millisecond, good())
	for range 3 {
		k.must(t, "new")
	}
	k.expect(t, "new", refusedFull)
}

func TestWhatHangsLeavesTheOthersTheirSlots(t *testing.T) {
	k := newTrack()
	k.proven(t, "well", "also")
	for _, name := range []string{"hangs/a", "hangs/a", "hangs/b", "too/a"} {
		k.must(t, name)
	}
	k.expect(t, "c", refusedFull)
	for range 3 {
		k.must(t, "well")
		k.must(t, "also")
	}
	k.expect(t, "well", refusedFull)
}

// Whatever one namespace does, another finds a slot.
func TestANamespaceLeavesSlotsToOthers(t *testing.T) {
	for _, bound := range []string{"of all", "of a destination"} {
		t.Run(bound, func(t *testing.T) {
			k := &track{limiter: newLimiter(32, 64, 32, time.Second), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
			try := func(name string) *slot {
				url := "https://shared.example.com/"
				if bound == "of all" {
					url = urlOf(name)
				}
				at, _ := k.acquire(hookNamed(name, url), k.now, nil)
				return at
			}
			for _, name := range []string{"a/1", "b/1", "c/1"} {
				k.ends(try(name), time.Millisecond, good())
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

// Publishers may wait for ten seconds: what hangs for that long is not prompt.
func TestPatientPublishersLeaveThePromptTheirSlots(t *testing.T) {
	k := newTrack()
	k.proven(t, "hangs/a", "hangs/b", "well")
	for range 3 {
		k.must(t, "hangs/a")
		k.must(t, "hangs/b")
	}
	k.now = k.now.Add(k.slowAfter)
	for range 4 {
		k.must(t, "well")
	}
	if k.used[kindUncertain] != 6 {
		t.Errorf("%d attempts are known to be slow, want 6", k.used[kindUncertain])
	}
}

func TestWhatWasSeenAMomentAgoCountsMoreThanAState(t *testing.T) {
	failing := hookNamed("one", "https://one.example.com/")
	failing.Status = v1alpha1.WebhookStatus{
		State:      v1alpha1.WebhookFailing,
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}},
	}
	for name, c := range map[string]struct {
		happens func(k *track)
		well    bool
	}{
		"nothing is known here":               {func(*track) {}, false},
		"a success before it is said to fail": {func(k *track) { k.proven(t, "one"); k.now = k.now.Add(-time.Second) }, true},
		"a success a while before":            {func(k *track) { k.proven(t, "one"); k.now = k.now.Add(healthyFor + 1) }, false},
		"a success since, and nothing for long": {func(k *track) {
			k.now = k.now.Add(time.Minute + time.Second)
			k.proven(t, "one")
			k.now = k.now.Add(time.Hour)
		}, true},
		"one refusal among successes": {func(k *track) { k.proven(t, "one"); k.ends(k.must(t, "one"), time.Millisecond, bad()) }, true},
		"as many refusals as close it": {func(k *track) {
			k.proven(t, "one")
			for range failuresToOpen {
				k.ends(k.must(t, "one"), time.Millisecond, bad())
			}
		}, false},
		"a success of a webhook with another url": {func(k *track) {
			at, _ := k.acquire(hookNamed("one", "https://former.example.com/"), k.now, nil)
			k.ends(at, time.Millisecond, good())
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := newTrack()
			failing.Status.LastFailureTime = new(metav1.NewMicroTime(k.now.Add(time.Minute)))
			c.happens(k)
			f := &attempter{limiter: k.limiter, now: func() time.Time { return k.now }}
			if got := f.canAttempt(failing); got != c.well {
				t.Errorf("well: %v, want %v", got, c.well)
			}
		})
	}
}

func TestADestinationHasItsOwnBound(t *testing.T) {
	k := newTrack()
	take := func(name string) (*slot, refusal) {
		return k.acquire(hookNamed(name, "https://shared.example.com/"+name), k.now, func(time.Time) bool { return false })
	}
	for _, name := range []string{"a", "b"} {
		at, _ := take(name)
		k.ends(at, time.Millisecond, good())
	}
	for _, name := range []string{"a", "a", "a", "b", "other/a"} {
		if at, why := take(name); at == nil {
			t.Fatalf("%s: %s", name, why)
		}
	}
	if _, why := take("b"); why != refusedFull {
		t.Errorf("got %q", why)
	}
}

func TestSlowEndpointsAreTriedAgainRarely(t *testing.T) {
	k := newTrack()
	k.proven(t, "slow")
	for _, pause := range []int{1, 2, 4, 8, 16, 32, 64, 120, 120} {
		pause := time.Duration(pause) * time.Second
		at := k.must(t, "slow")
		k.now = k.now.Add(time.Second)
		k.expect(t, "slow", refusedCircuitOpen)
		k.now = k.now.Add(pause - time.Millisecond)
		k.expect(t, "slow", refusedCircuitOpen)
		k.releaseWithResult(at, new(good()), time.Minute, k.now)
		k.now = k.now.Add(pause - time.Millisecond)
		k.expect(t, "slow", refusedCircuitOpen) // it rests from when it was done
		k.now = k.now.Add(time.Millisecond)
	}
	one := k.must(t, "slow")
	k.expect(t, "slow", refusedFull)
	k.ends(one, time.Millisecond, good())
	for range 2 {
		k.must(t, "slow")
	}
}

func TestASlowAnswerIsForgottenAfterAPromptOne(t *testing.T) {
	k := newTrack()
	k.proven(t, "well")
	late, prompt := k.must(t, "well"), k.must(t, "well")
	k.now = k.now.Add(time.Second)
	k.expect(t, "well", refusedCircuitOpen)
	k.releaseWithResult(prompt, new(good()), time.Millisecond, k.now)
	k.expect(t, "well", "")
	k.releaseWithResult(late, new(good()), 2*time.Second, k.now)
	k.expect(t, "well", "")
}

func TestAnImpatientPublisherDoesNotMakeAnEndpointSlow(t *testing.T) {
	k := newTrack()
	k.proven(t, "well")
	at := k.must(t, "well")
	k.now = k.now.Add(100 * time.Millisecond) // its publisher is gone
	k.expect(t, "well", "")
	k.ends(at, 800*time.Millisecond, good())
	k.expect(t, "well", "")
	k.ends(k.must(t, "well"), 1100*time.Millisecond, good())
	k.expect(t, "well", refusedCircuitOpen)
}

func TestFailuresInARowCloseForAWhile(t *testing.T) {
	k := newTrack()
	k.proven(t, "down")
	for range failuresToOpen - 1 {
		k.ends(k.must(t, "down"), time.Millisecond, bad())
	}
	for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		k.ends(k.must(t, "down"), time.Millisecond, bad())
		k.now = k.now.Add(time.Duration(seconds)*time.Second - time.Millisecond)
		k.expect(t, "down", refusedCircuitOpen)
		k.now = k.now.Add(time.Millisecond)
	}
	k.proven(t, "down")
	for range failuresToOpen - 1 {
		k.ends(k.must(t, "down"), time.Millisecond, bad())
	}
	k.expect(t, "down", "")
}

func TestWhatWasHeldBackGoesFirst(t *testing.T) {
	k := newTrack()
	k.proven(t, "busy")
	busy := bad()
	busy.Reason, busy.RetryAfter = dispatcher.ReasonThrottled, k.now.Add(5*time.Second)
	k.ends(k.must(t, "busy"), time.Millisecond, busy)
	k.now = k.now.Add(4 * time.Second)
	k.expect(t, "busy", refusedCircuitOpen)
	k.now, k.waiting = k.now.Add(2*time.Second), true
	k.expect(t, "busy", refusedCircuitOpen)
	k.waiting = false
	k.expect(t, "busy", refusedCircuitOpen) // looked at once a second
	k.now = k.now.Add(time.Second)
	k.expect(t, "busy", "")
}

func TestAnotherURLStartsAfresh(t *testing.T) {
	k := newTrack()
	k.ends(k.must(t, "moved"), time.Minute, bad())
	k.expect(t, "moved", refusedCircuitOpen)
	at, why := k.acquire(hookNamed("moved", "https://elsewhere.example.com"), k.now, nil)
	if at == nil {
		t.Fatal(why)
	}
	k.forgetWebhook(keyNamed("moved"))
	k.release(at, k.now)
	if len(k.endpoints) != 0 || len(k.destinations) != 0 || len(k.namespaces) != 0 || k.underWay() != 0 {
		t.Errorf("left: %d webhooks, %d destinations, %d out", len(k.endpoints), len(k.destinations), k.underWay())
	}
}

func TestPreferences(t *testing.T) {
	for _, tt := range []struct {
		headers  []string
		standard time.Duration
		want     preference
	}{
		{nil, time.Second, preference{wait: time.Second}},
		{[]string{"respond-async"}, time.Second, preference{applied: "respond-async"}},
		{[]string{"Respond-Async; x=y"}, time.Second, preference{applied: "respond-async"}},
		{[]string{"wait=3"}, time.Second, preference{wait: 3 * time.Second, applied: "wait=3"}},
		{[]string{`wait = "3"`}, time.Second, preference{wait: 3 * time.Second, applied: "wait=3"}},
		{[]string{"wait=0"}, time.Second, preference{applied: "wait=0"}},
		{[]string{"wait=3, wait=4"}, time.Second, preference{wait: 3 * time.Second, applied: "wait=3"}},
		{[]string{"wait=3", "wait=4"}, time.Second, preference{wait: 3 * time.Second, applied: "wait=3"}},
		{[]string{"wait=99999"}, time.Second, preference{wait: 10 * time.Second, applied: "wait=10"}},
		{[]string{"respond-async", "wait=2"}, time.Second, preference{wait: 2 * time.Second, applied: "wait=2"}},
		{[]string{"wait=-1"}, time.Second, preference{wait: time.Second}},
		{[]string{"wait=1.5", "wait"}, time.Second, preference{wait: time.Second}},
		{[]string{"handling=lenient, return=minimal", ""}, time.Second, preference{wait: time.Second}},
		{[]string{"wait=3"}, 0, preference{}},
		{[]string{"respond-async"}, 0, preference{applied: "respond-async"}},
	} {
		if got := parsePrefer(http.Header{"Prefer": tt.headers}, tt.standard); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q with %s: got %+v, want %+v", tt.headers, tt.standard, got, tt.want)
		}
	}
}

// An endpoint that was down for minutes would else be left alone for half a minute
// after it has recovered.
func TestARetryThatSucceedsReopensWhatFailed(t *testing.T) {
	succeeded := func(k *track, ago time.Duration) {
		k.observe(keyNamed("one"), observedAttempt{endTime: k.now.Add(-ago), succeeded: true}, k.now)
	}
	for name, c := range map[string]struct {
		happens func(k *track)
		want    refusal
	}{
		"nothing":                       {func(*track) {}, refusedCircuitOpen},
		"a failure":                     {func(k *track) { k.observe(keyNamed("one"), observedAttempt{endTime: k.now}, k.now) }, refusedCircuitOpen},
		"a success":                     {func(k *track) { succeeded(k, 0) }, ""},
		"a success before the failures": {func(k *track) { succeeded(k, 3*time.Second) }, refusedCircuitOpen},
		"a success, but we shall wait": {func(k *track) {
			k.observe(keyNamed("one"), observedAttempt{endTime: k.now, retryAfter: k.now.Add(time.Minute)}, k.now)
			succeeded(k, 0)
		}, refusedCircuitOpen},
		"a success, while one finds out": {func(k *track) { succeeded(k, 0); _, _ = k.try("one") }, refusedFull},
	} {
		t.Run(name, func(t *testing.T) {
			k := newTrack()
			k.proven(t, "one")
			for range 8 {
				k.now = k.now.Add(maxOpen)
				k.ends(k.must(t, "one"), time.Millisecond, bad())
			}
			k.now = k.now.Add(time.Second)
			c.happens(k)
			k.expect(t, "one", c.want)
		})
	}
}

func TestWhatTimesOutElsewhereIsLeftToTheController(t *testing.T) {
	tells := func(k *track, timedOut bool) {
		k.observe(keyNamed("one"), observedAttempt{endTime: k.now, timedOut: timedOut}, k.now)
	}
	for name, c := range map[string]struct {
		happens func(k *track)
		want    refusal
	}{
		"nothing":                  {func(*track) {}, ""},
		"a timeout":                {func(k *track) { tells(k, true) }, refusedCircuitOpen},
		"a failure":                {func(k *track) { tells(k, false) }, ""},
		"a timeout long ago":       {func(k *track) { tells(k, true); k.now = k.now.Add(hangingFor) }, ""},
		"a timeout a while ago":    {func(k *track) { tells(k, true); k.now = k.now.Add(hangingFor - time.Second) }, refusedCircuitOpen},
		"a timeout, then answers":  {func(k *track) { tells(k, true); k.now = k.now.Add(time.Second); tells(k, false) }, ""},
		"heard of in another turn": {func(k *track) { tells(k, false); k.now = k.now.Add(-time.Second); tells(k, true) }, ""},
		"forgotten":                {func(k *track) { tells(k, true); k.forgetWebhook(keyNamed("one")) }, ""},
		"a timeout before our own success": {func(k *track) {
			at := k.must(t, "one")
			tells(k, true)
			k.ends(at, time.Second/2, good())
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := newTrack()
			k.proven(t, "one")
			k.now = k.now.Add(time.Second)
			c.happens(k)
			if hangs, _ := k.classify(hookNamed("one", "https://one.example.com/"), k.now); hangs != (c.want != "") {
				t.Errorf("stored as what hangs is: %v", hangs)
			}
			k.expect(t, "one", c.want)
		})
	}
}
