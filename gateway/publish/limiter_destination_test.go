// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

const sharedURL = "https://shared.example.com/"

func (f *limiterFixture) mustAcquireShared(t *testing.T, name string, pending func(time.Time) bool) *endpoint.Slot {
	t.Helper()
	s, reason := f.acquire(webhookNamed(name, sharedURL), f.now, pending)
	if s == nil {
		t.Fatalf("no slot for %s: %s", name, reason)
	}
	return s
}

func noneWaiting(time.Time) bool { return false }

// An attempt under way counts for its destination until it ends, though its webhook is deleted and the attempt hangs.
func TestDestinationCountsAttemptsOfADeletedWebhook(t *testing.T) {
	f := newLimiterFixture()
	gone := f.mustAcquireShared(t, "a/gone", noneWaiting)
	f.forgetWebhook(keyNamed("a/gone"))
	f.now = f.now.Add(2 * time.Second) // it hangs
	first := f.mustAcquireShared(t, "b/first", noneWaiting)
	if n := first.UnderWayAtDestination(); n != 2 || gone.UnderWayAtDestination() != n {
		t.Errorf("%d attempts count for the destination, want 2", n)
	}
	f.release(gone, f.now)
	if second := f.mustAcquireShared(t, "b/second", noneWaiting); second.UnderWayAtDestination() != 2 || first.UnderWayAtDestination() != 2 {
		t.Errorf("%d attempts count for the destination of one, %d for that of the other", first.UnderWayAtDestination(), second.UnderWayAtDestination())
	}
}

// A webhook can be deleted while acquire asks, without the lock, whether older deliveries of it wait.
func TestDestinationCountsASlotAcquiredDuringADeletion(t *testing.T) {
	f := newLimiterFixture()
	paused := f.mustAcquireShared(t, "a/paused", noneWaiting)
	f.finish(paused, time.Millisecond, dispatcher.Result{StatusCode: http.StatusServiceUnavailable, Reason: dispatcher.ReasonHTTPStatus, RetryAfter: f.now.Add(time.Minute)})
	f.now = f.now.Add(2 * time.Minute)
	s := f.mustAcquireShared(t, "a/paused", func(time.Time) bool {
		f.forgetWebhook(keyNamed("a/paused"))
		return false
	})
	if other := f.mustAcquireShared(t, "b/other", noneWaiting); other.UnderWayAtDestination() != 2 || s.UnderWayAtDestination() != 2 {
		t.Errorf("%d attempts count for the destination of one, %d for that of the other", s.UnderWayAtDestination(), other.UnderWayAtDestination())
	}
}

// What is new, slow or hanging has shares of a destination's slots, of which each namespace leaves others some.
func TestNamespaceLeavesUncertainSlotsOfADestinationToOthers(t *testing.T) {
	none := func(time.Time) bool { return false }
	f := &limiterFixture{limiter: newLimiter(128, 64, 32, time.Second), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	granted := 0
	for i := range 100 {
		if s, _ := f.acquire(webhookNamed(fmt.Sprint("a/", i), sharedURL), f.now, none); s != nil {
			granted++
		}
	}
	if granted < 10 {
		t.Errorf("one namespace alone gets %d slots", granted)
	}
	if _, reason := f.acquire(webhookNamed("b/1", sharedURL), f.now, none); reason != "" {
		t.Errorf("the other namespace gets none: %s", reason)
	}
}
