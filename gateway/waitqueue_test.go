// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func (k *track) line(t *testing.T, name string) *waiter {
	t.Helper()
	k.expect(t, name, refusedFull)
	return k.enqueue(hookNamed(name, urlOf(name)), k.now)
}

func called(all []*waiter) (n int) {
	for _, one := range all {
		select {
		case <-one.ready:
			n++
		default:
		}
	}
	return n
}

func TestTheFirstSuccessCallsAsManyAsThereIsRoomFor(t *testing.T) {
	k := newTrack() // 4 slots of a webhook
	one, other := k.must(t, "new"), k.must(t, "new")
	var waiting []*waiter
	for range 6 {
		waiting = append(waiting, k.line(t, "new"))
	}
	k.dequeue(waiting[0], k.now)
	k.ends(one, time.Millisecond, good())
	if n := called(waiting[1:4]); n != 3 || called(waiting) != 3 {
		t.Errorf("%d of the first three who wait were called, %d in all", n, called(waiting))
	}
	for range 3 {
		k.must(t, "new")
	}
	k.ends(other, time.Millisecond, good())
	if n := called(waiting); n != 4 {
		t.Errorf("one attempt ended and %d were called", n-3)
	}
	k.dequeue(waiting[1], k.now) // who was called has left already
}

func TestNobodyWaitsForWhatIsSlowOrFails(t *testing.T) {
	k := newTrack()
	attempts := []*slot{k.must(t, "down"), k.must(t, "down")}
	waiting := []*waiter{k.line(t, "down"), k.line(t, "down")}
	for range failuresToOpen - len(attempts) {
		k.ends(attempts[0], time.Millisecond, bad())
		attempts = append(attempts[1:], k.must(t, "down"))
	}
	for _, at := range attempts {
		k.ends(at, time.Millisecond, bad())
	}
	if n := called(waiting); n != 2 {
		t.Errorf("the endpoint fails and %d of 2 still wait", 2-n)
	}
	k.now = k.now.Add(minOpen)
	k.must(t, "down")
	if k.line(t, "down") != nil {
		t.Error("a publisher waits for an endpoint that failed three times")
	}

	k.must(t, "hangs")
	k.must(t, "hangs")
	waiting = []*waiter{k.line(t, "hangs")}
	k.now = k.now.Add(time.Second)
	k.markSlow(k.now)
	if called(waiting) != 1 {
		t.Error("an attempt is overdue and one still waits for a slot")
	}
	if k.enqueue(hookNamed("hangs", "https://hangs.example.com/"), k.now) != nil {
		t.Error("a publisher waits for an endpoint that hangs")
	}
	if idle := k.enqueue(hookNamed("other/idle", "https://idle.example.com/"), k.now); called([]*waiter{idle}) != 1 {
		t.Error("a publisher waits although a slot is free")
	}
}

// An event for more webhooks than there are slots would else store most of them.
func TestWhoWaitsForWhatAllShareIsCalledInTurn(t *testing.T) {
	k := newTrack() // 8 slots: 6 for one namespace, and 4 for webhooks that are new
	var out []*slot
	for i := range 3 {
		out = append(out, k.must(t, fmt.Sprint("a/", i)))
	}
	var waiting []*waiter
	for i := range 3 {
		waiting = append(waiting, k.line(t, fmt.Sprint("a/", 3+i)))
	}
	out = append(out, k.must(t, "b/0"))
	other := k.line(t, "b/1")
	k.ends(out[0], time.Millisecond, good())
	if called(waiting)+called([]*waiter{other}) != 0 {
		t.Error("the slot that is left free for others was given away")
	}
	k.ends(out[1], time.Millisecond, good())
	if called(waiting) != 1 {
		t.Error("one attempt more has ended, and not one was called")
	}
	k.ends(out[2], time.Millisecond, good())
	if called(waiting) != 1 || called([]*waiter{other}) != 1 {
		t.Error("the second namespace has not had its turn")
	}
	k.dequeue(other, k.now) // it was called, and does not take the slot
	if called(waiting) != 2 {
		t.Error("nobody takes the place of who was called and left")
	}
	k.ends(out[3], time.Millisecond, good())
	if called(waiting) != 3 || k.queue.pop(func(*endpointState) bool { return true }) != nil {
		t.Error("somebody still stands in line")
	}
}

func TestStandingInLineEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTrack()
		f := &attempter{limiter: k.limiter, wait: time.Second, now: func() time.Time { return k.now }}
		hook := hookNamed("new", "https://new.example.com/")
		none := func(time.Time) bool { return false }
		one := k.must(t, "new")
		k.must(t, "new")
		ctx, cancel := context.WithTimeout(t.Context(), f.maxSlotWait())
		defer cancel()
		began := time.Now()
		if _, why := f.acquireQueued(ctx)(hook, none); why != refusedFull || time.Since(began) != 250*time.Millisecond {
			t.Errorf("refused as %q after %s", why, time.Since(began))
		}
		ctx, cancel = context.WithTimeout(t.Context(), f.maxSlotWait())
		defer cancel()
		got := make(chan refusal)
		go func() {
			_, why := f.acquireQueued(ctx)(hook, none)
			got <- why
		}()
		synctest.Wait()
		k.ends(one, time.Millisecond, good())
		if why := <-got; why != "" {
			t.Errorf("a slot is free and the publisher was refused as %q", why)
		}
		if k.endpoints[keyOf(hook)].queue.Len() != 0 {
			t.Error("somebody still stands in line")
		}
	})
}
