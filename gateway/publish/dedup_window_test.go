// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// succeededAttempt is a first attempt that succeeded.
func succeededAttempt(webhook, eventID string) *firstAttempt {
	object := webhookNamed(webhook, "https://example.com")
	object.Namespace = "shop"
	return &firstAttempt{
		draft:  &deliveryDraft{webhook: object, eventID: eventID, timestamp: time.UnixMilli(1700000000123)},
		digest: [32]byte{1},
	}
}

func TestDedupWindowRemembersTheWebhooksOfAnEvent(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newDedupWindow(DedupLimits{Duration: time.Minute, Events: 100, Bytes: 1 << 20}, func() time.Time { return now })
	w.remember(succeededAttempt("a", "x"))
	w.remember(succeededAttempt("b", "x"))
	w.remember(succeededAttempt("b", "x"))
	w.remember(succeededAttempt("b", "y"))
	expect := func(eventID string, want ...types.UID) {
		t.Helper()
		entry, uids := w.find("shop", eventID)
		if !slices.Equal(uids, want) {
			t.Errorf("%s: got %q, want %q", eventID, uids, want)
		}
		if entry != nil && (entry.Digest != [32]byte{1} || entry.Timestamp.UnixMilli() != 1700000000123) {
			t.Errorf("%s: got %+v", eventID, entry)
		}
	}
	expect("x", "a", "b")
	expect("y", "b")
	expect("z")
	if entry, _ := w.find("elsewhere", "x"); entry != nil {
		t.Error("another namespace has the id")
	}
	now = now.Add(time.Minute - time.Second)
	w.remember(succeededAttempt("c", "x")) // the entry of an older generation is kept
	expect("x", "a", "b", "c")
	expect("y", "b")
	now = now.Add(time.Minute)
	w.remember(succeededAttempt("a", "w"))
	expect("x", "a", "b", "c")
	expect("y")
}

func TestDedupWindowIsBoundedInEvents(t *testing.T) {
	w := newDedupWindow(DedupLimits{Duration: time.Hour, Events: 100, Bytes: 1 << 20}, time.Now)
	for i := range 1000 {
		w.remember(succeededAttempt("a", fmt.Sprint(i)))
		if n := w.events; n > 100 {
			t.Fatalf("%d ids are remembered", n)
		}
		if past, _ := w.find("shop", fmt.Sprint(max(0, i-49))); past == nil {
			t.Fatalf("the latest half of what may be remembered is not, at %d", i)
		}
	}
}

// newWebhookUIDs are UIDs of n webhooks.
func newWebhookUIDs(n int) []string {
	uids := make([]string, n)
	for i := range uids {
		uids[i] = string(uuid.NewUUID())
	}
	return uids
}

// The event matches 512 webhooks, and the attempts of other ones fail each time.
func TestDedupWindowRemembersAnEventInFewBytes(t *testing.T) {
	const events, share = 300, 50
	for name, remember := range map[string]func(*dedupWindow, []*firstAttempt){
		"deliveries that succeed together": func(w *dedupWindow, all []*firstAttempt) { w.remember(all...) },
		"deliveries that succeed one by one": func(w *dedupWindow, all []*firstAttempt) {
			for _, a := range all[:40] {
				w.remember(a)
			}
			w.remember(all...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDedupWindow(DedupLimits{Duration: time.Hour, Events: 1_000_000, Bytes: 1 << 30}, time.Now)
			uids, random := newWebhookUIDs(512), rand.New(rand.NewPCG(1, 2))
			before := heapBytes()
			var expected []int
			for i := range events {
				var all []*firstAttempt
				for _, uid := range uids {
					if random.IntN(share) > 0 {
						all = append(all, succeededAttempt(uid, fmt.Sprint(i)))
					}
				}
				expected = append(expected, len(all))
				remember(w, all)
			}
			used := (heapBytes() - before) / events
			t.Logf("%d bytes an event, by its own account %d", used, w.bytes/events)
			if used > 512 || used > 2*w.bytes/events || w.bytes > 4*used*events {
				t.Errorf("%d bytes an event, by its own account %d", used, w.bytes/events)
			}
			for i, want := range expected {
				if _, got := w.find("shop", fmt.Sprint(i)); len(got) != want {
					t.Fatalf("event %d: %d webhooks, want %d", i, len(got), want)
				}
			}
		})
	}
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestDedupWindowIsBoundedInBytes(t *testing.T) {
	const most = 128 << 10
	w := newDedupWindow(DedupLimits{Duration: time.Hour, Events: 1_000_000, Bytes: most}, time.Now)
	uids := newWebhookUIDs(300)
	for i := range 800 {
		var all []*firstAttempt
		for j, uid := range uids { // as uneven as can be
			if (i>>(j%11)^j)&1 == 0 {
				all = append(all, succeededAttempt(uid, fmt.Sprint(i)))
			}
		}
		w.remember(all...)
		if bytes := w.bytes; bytes > most+most/8 {
			t.Fatalf("%d bytes after %d events", bytes, i)
		}
		if past, _ := w.find("shop", fmt.Sprint(i)); past == nil {
			t.Fatalf("the latest event is not remembered, at %d", i)
		}
	}
	if w.events < 20 {
		t.Errorf("only %d events are remembered", w.events)
	}
}

func TestWebhookSetsWithoutReferencesAreDropped(t *testing.T) {
	s := newWebhookSets()
	random := rand.New(rand.NewPCG(3, 4))
	uids := make([]types.UID, 40)
	for i := range uids {
		uids[i] = types.UID(fmt.Sprint(i))
	}
	type reference struct {
		place int32
		want  []types.UID
	}
	var held []reference
	for range 5000 {
		if len(held) > 0 && random.IntN(2) == 0 {
			i := random.IntN(len(held))
			s.release(held[i].place)
			held = slices.Delete(held, i, i+1)
			continue
		}
		var set []types.UID
		for _, uid := range uids {
			if random.IntN(8) > 0 == (len(held)%2 == 0) {
				set = append(set, uid)
			}
		}
		random.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
		held = append(held, reference{s.add(set), set})
	}
	distinct := map[int32]bool{}
	for _, r := range held {
		distinct[r.place] = true
		got := s.get(r.place)
		slices.Sort(got)
		slices.Sort(r.want)
		if !slices.Equal(got, r.want) {
			t.Fatalf("got %v, want %v", got, r.want)
		}
	}
	if len(s.indexes) != len(distinct) {
		t.Errorf("%d sets are held, %d are referred to", len(s.indexes), len(distinct))
	}
	for _, r := range held {
		s.release(r.place)
	}
	if len(s.indexes) != 0 || s.bytes != webhookBytes*int64(len(s.webhooks)) {
		t.Errorf("%d sets and %d bytes are left", len(s.indexes), s.bytes)
	}
}

func TestEventIDIsLockedForOneRequestAtATime(t *testing.T) {
	w := newDedupWindow(DedupLimits{}, time.Now)
	unlock, err := w.lockEventID(t.Context(), "shop", "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := w.lockEventID(ctx, "shop", "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	entered := make(chan struct{})
	go func() {
		if unlock, err := w.lockEventID(context.Background(), "shop", "x"); err == nil {
			unlock()
		}
		close(entered)
	}()
	unlock()
	<-entered
	if len(w.inProgress) != 0 {
		t.Error("something is left")
	}
}
