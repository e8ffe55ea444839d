// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// landed is a first attempt that delivered.
func landed(webhook, eventID string) *flight {
	hook := hookNamed(webhook, "https://example.com")
	hook.Namespace = "shop"
	return &flight{
		draft:  &deliveryDraft{webhook: hook, eventID: eventID, stamp: time.UnixMilli(1700000000123)},
		digest: [32]byte{1},
	}
}

func TestWindowRemembersWhoGotWhat(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newWindow(Window{For: time.Minute, Most: 100}, func() time.Time { return now })
	w.remember(landed("a", "x"))
	w.remember(landed("b", "x"))
	w.remember(landed("b", "x"))
	w.remember(landed("b", "y"))
	expect := func(eventID string, want ...types.UID) {
		t.Helper()
		past, hooks := w.recall("shop", eventID)
		if !slices.Equal(hooks, want) {
			t.Errorf("%s: got %q, want %q", eventID, hooks, want)
		}
		if past != nil && (past.digest != [32]byte{1} || past.stamp.UnixMilli() != 1700000000123) {
			t.Errorf("%s: got %+v", eventID, past)
		}
	}
	expect("x", "a", "b")
	expect("y", "b")
	expect("z")
	if past, _ := w.recall("elsewhere", "x"); past != nil {
		t.Error("another namespace has the id")
	}
	now = now.Add(time.Minute)
	w.remember(landed("c", "x")) // what the older generation knows is kept
	expect("x", "a", "b", "c")
	expect("y", "b")
	now = now.Add(time.Minute)
	w.remember(landed("a", "w"))
	expect("x", "a", "b", "c")
	expect("y")
}

func TestWindowIsBounded(t *testing.T) {
	w := newWindow(Window{For: time.Hour, Most: 100}, time.Now)
	for i := range 1000 {
		w.remember(landed("a", fmt.Sprint(i)))
		if n := len(w.newer.events) + len(w.older.events); n > 100 {
			t.Fatalf("%d ids are remembered", n)
		}
		if past, _ := w.recall("shop", fmt.Sprint(max(0, i-49))); past == nil {
			t.Fatalf("the latest half of what may be remembered is not, at %d", i)
		}
	}
}

func TestOneRequestAtATimePublishesAnID(t *testing.T) {
	w := newWindow(Window{}, time.Now)
	leave, err := w.enter(t.Context(), "shop", "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := w.enter(ctx, "shop", "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	entered := make(chan struct{})
	go func() {
		if leave, err := w.enter(context.Background(), "shop", "x"); err == nil {
			leave()
		}
		close(entered)
	}()
	leave()
	<-entered
	if len(w.publishing) != 0 {
		t.Error("something is left")
	}
}

func TestBucketsFillAtTheirRate(t *testing.T) {
	var b bucket
	now := time.Unix(1000, 0)
	took := func(after time.Duration) (n int) {
		now = now.Add(after)
		for b.take(5, 50, now) {
			n++
		}
		return n
	}
	for i, want := range []int{50, 0, 5, 50} {
		if got := took([]time.Duration{0, 0, time.Second, time.Hour}[i]); got != want {
			t.Errorf("step %d: got %d, want %d", i, got, want)
		}
	}
}
