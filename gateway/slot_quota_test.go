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
	at, why := k.take(hookNamed(name, sharedURL), k.now, pending)
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
	k.forget(keyNamed("a/gone"))
	k.now = k.now.Add(2 * time.Second) // it hangs
	first := k.mustShared(t, "b/first", nothingWaits)
	if d := first.destination; d != gone.destination || d.out != 2 {
		t.Errorf("%d attempts count for the destination, want 2", d.out)
	}
	k.free(gone, k.now)
	if second := k.mustShared(t, "b/second", nothingWaits); second.destination != first.destination || first.destination.out != 2 {
		t.Errorf("%d attempts count for the destination of one, %d for that of the other", first.destination.out, second.destination.out)
	}
}

// A webhook can go while it is asked, without the lock, whether anything of it waits.
func TestADestinationCountsWhatIsTakenWhileItsWebhookGoes(t *testing.T) {
	k := newTrack()
	paused := k.mustShared(t, "a/paused", nothingWaits)
	k.ends(paused, time.Millisecond, dispatcher.Result{StatusCode: http.StatusServiceUnavailable, Reason: dispatcher.ReasonHTTPStatus, RetryAfter: k.now.Add(time.Minute)})
	k.now = k.now.Add(2 * time.Minute)
	at := k.mustShared(t, "a/paused", func(time.Time) bool {
		k.forget(keyNamed("a/paused"))
		return false
	})
	if other := k.mustShared(t, "b/other", nothingWaits); other.destination != at.destination {
		t.Errorf("%d attempts count for the destination of one, %d for that of the other", at.destination.out, other.destination.out)
	}
}
