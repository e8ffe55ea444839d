// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

func (f *limiterFixture) mustEnqueue(t *testing.T, name string) *endpoint.Waiter {
	t.Helper()
	f.expectRefusal(t, name, refusedFull)
	return f.enqueue(webhookNamed(name, endpointURL(name)), f.now)
}

func countReady(all []*endpoint.Waiter) (n int) {
	for _, one := range all {
		select {
		case <-one.Ready:
			n++
		default:
		}
	}
	return n
}

func TestFirstSuccessWakesAsManyWaitersAsThereAreSlots(t *testing.T) {
	f := newLimiterFixture() // 4 slots of a webhook
	one, other := f.mustAcquire(t, "new"), f.mustAcquire(t, "new")
	var waiting []*endpoint.Waiter
	for range 6 {
		waiting = append(waiting, f.mustEnqueue(t, "new"))
	}
	f.dequeue(waiting[0], f.now)
	f.finish(one, time.Millisecond, succeededResult())
	if n := countReady(waiting[1:4]); n != 3 || countReady(waiting) != 3 {
		t.Errorf("%d of the first three waiters were woken, %d in all", n, countReady(waiting))
	}
	for range 3 {
		f.mustAcquire(t, "new")
	}
	f.finish(other, time.Millisecond, succeededResult())
	if n := countReady(waiting); n != 4 {
		t.Errorf("one attempt ended and %d waiters were woken", n-3)
	}
	f.dequeue(waiting[1], f.now) // the waiter was woken, and has left already
}

func TestSlowOrFailingEndpointsHaveNoWaiters(t *testing.T) {
	f := newLimiterFixture()
	attempts := []*endpoint.Slot{f.mustAcquire(t, "down"), f.mustAcquire(t, "down")}
	waiting := []*endpoint.Waiter{f.mustEnqueue(t, "down"), f.mustEnqueue(t, "down")}
	for range endpoint.FailuresToOpen - len(attempts) {
		f.finish(attempts[0], time.Millisecond, failedResult())
		attempts = append(attempts[1:], f.mustAcquire(t, "down"))
	}
	for _, s := range attempts {
		f.finish(s, time.Millisecond, failedResult())
	}
	if n := countReady(waiting); n != 2 {
		t.Errorf("the endpoint fails and %d of 2 still wait", 2-n)
	}
	f.now = f.now.Add(endpoint.MinOpen)
	f.mustAcquire(t, "down")
	if f.mustEnqueue(t, "down") != nil {
		t.Error("a publisher waits for an endpoint that failed three times")
	}

	f.mustAcquire(t, "hangs")
	f.mustAcquire(t, "hangs")
	waiting = []*endpoint.Waiter{f.mustEnqueue(t, "hangs")}
	f.now = f.now.Add(time.Second)
	f.slots.MarkSlow(f.now)
	if countReady(waiting) != 1 {
		t.Error("an attempt is overdue and one still waits for a slot")
	}
	if f.enqueue(webhookNamed("hangs", "https://hangs.example.com/"), f.now) != nil {
		t.Error("a publisher waits for an endpoint that hangs")
	}
	if idle := f.enqueue(webhookNamed("other/idle", "https://idle.example.com/"), f.now); countReady([]*endpoint.Waiter{idle}) != 1 {
		t.Error("a publisher waits although a slot is free")
	}
}

// waitingShared is how many wait for a bound that webhooks share.
func waitingShared(f *limiterFixture) int {
	_, shared := f.slots.Waiting(&endpoint.Endpoint{})
	return shared
}

// Without waiting, most deliveries of an event for more webhooks than there are slots would be stored.
func TestNamespacesTakeTurnsInTheSharedWaitQueue(t *testing.T) {
	f := newLimiterFixture() // 8 slots: 6 for one namespace, and 4 for webhooks that are new
	var out []*endpoint.Slot
	for i := range 3 {
		out = append(out, f.mustAcquire(t, fmt.Sprint("a/", i)))
	}
	var waiting []*endpoint.Waiter
	for i := range 3 {
		waiting = append(waiting, f.mustEnqueue(t, fmt.Sprint("a/", 3+i)))
	}
	out = append(out, f.mustAcquire(t, "b/0"))
	other := f.mustEnqueue(t, "b/1")
	f.finish(out[0], time.Millisecond, succeededResult())
	if countReady(waiting)+countReady([]*endpoint.Waiter{other}) != 0 {
		t.Error("the slot that is left free for others was given away")
	}
	f.finish(out[1], time.Millisecond, succeededResult())
	if countReady(waiting) != 1 {
		t.Error("one attempt more has ended, and no waiter was woken")
	}
	f.finish(out[2], time.Millisecond, succeededResult())
	if countReady(waiting) != 1 || countReady([]*endpoint.Waiter{other}) != 1 {
		t.Error("the second namespace has not had its turn")
	}
	f.dequeue(other, f.now) // it was woken, and does not take the slot
	if countReady(waiting) != 2 {
		t.Error("no waiter was woken in place of one that was woken and left")
	}
	f.finish(out[3], time.Millisecond, succeededResult())
	if countReady(waiting) != 3 || waitingShared(f) != 0 {
		t.Error("a waiter is still in the queue")
	}
}

func TestWaitForASlotEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newLimiterFixture()
		first := &firstAttempter{limiter: f.limiter, wait: time.Second, now: func() time.Time { return f.now }}
		webhook := webhookNamed("new", "https://new.example.com/")
		none := func(time.Time) bool { return false }
		one := f.mustAcquire(t, "new")
		f.mustAcquire(t, "new")
		ctx, cancel := context.WithTimeout(t.Context(), first.maxSlotWait())
		defer cancel()
		began := time.Now()
		if _, reason := first.acquireQueued(ctx)(webhook, none); reason != refusedFull || time.Since(began) != 250*time.Millisecond {
			t.Errorf("refused as %q after %s", reason, time.Since(began))
		}
		ctx, cancel = context.WithTimeout(t.Context(), first.maxSlotWait())
		defer cancel()
		got := make(chan refusal)
		go func() {
			_, reason := first.acquireQueued(ctx)(webhook, none)
			got <- reason
		}()
		synctest.Wait()
		f.finish(one, time.Millisecond, succeededResult())
		if reason := <-got; reason != "" {
			t.Errorf("a slot is free and the publisher was refused as %q", reason)
		}
		if own, _ := f.slots.Waiting(&f.endpoints[newWebhookKey(webhook)].Endpoint); own != 0 {
			t.Error("a waiter is still in the queue")
		}
	})
}
