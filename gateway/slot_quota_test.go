// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

const sharedURL = "https://shared.example.com/"

func (k *track) mustShared(t *testing.T, name string, pending func(time.Time) bool) *slot {
	t.Helper()
	at, why := k.acquire(hookNamed(name, sharedURL), k.now, pending)
	if at == nil {
		t.Fatalf("no slot for %s: %s", name, why)
	}
	return at
}

func nothingWaits(time.Time) bool { return false }

// What is out to a destination counts for it until it has ended, though its webhook is
// gone, and hangs.
func TestADestinationCountsWhatHangsOfAWebhookThatIsGone(t *testing.T) {
	k := newTrack()
	gone := k.mustShared(t, "a/gone", nothingWaits)
	k.forgetWebhook(keyNamed("a/gone"))
	k.now = k.now.Add(2 * time.Second) // it hangs
	first := k.mustShared(t, "b/first", nothingWaits)
	if d := first.destination; d != gone.destination || d.underWay != 2 {
		t.Errorf("%d attempts count for the destination, want 2", d.underWay)
	}
	k.release(gone, k.now)
	if second := k.mustShared(t, "b/second", nothingWaits); second.destination != first.destination || first.destination.underWay != 2 {
		t.Errorf("%d attempts count for the destination of one, %d for that of the other", first.destination.underWay, second.destination.underWay)
	}
}

// A webhook can go while it is asked, without the lock, whether anything of it waits.
func TestADestinationCountsWhatIsTakenWhileItsWebhookGoes(t *testing.T) {
	k := newTrack()
	paused := k.mustShared(t, "a/paused", nothingWaits)
	k.ends(paused, time.Millisecond, dispatcher.Result{StatusCode: http.StatusServiceUnavailable, Reason: dispatcher.ReasonHTTPStatus, RetryAfter: k.now.Add(time.Minute)})
	k.now = k.now.Add(2 * time.Minute)
	at := k.mustShared(t, "a/paused", func(time.Time) bool {
		k.forgetWebhook(keyNamed("a/paused"))
		return false
	})
	if other := k.mustShared(t, "b/other", nothingWaits); other.destination != at.destination {
		t.Errorf("%d attempts count for the destination of one, %d for that of the other", at.destination.underWay, other.destination.underWay)
	}
}
