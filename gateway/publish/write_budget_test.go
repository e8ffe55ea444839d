// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

func TestReservedBytesAreSpentOnceForAnObject(t *testing.T) {
	for name, c := range map[string]struct {
		steps   []func(*byteReservation)
		counted bool
	}{
		"the object is stored":                              {[]func(*byteReservation){(*byteReservation).spend, (*byteReservation).release}, true},
		"no object is needed":                               {[]func(*byteReservation){(*byteReservation).release, (*byteReservation).release}, false},
		"no object is needed, and a create was refused":     {[]func(*byteReservation){(*byteReservation).release, (*byteReservation).refund}, false},
		"the create is refused":                             {[]func(*byteReservation){(*byteReservation).spend, (*byteReservation).refund, (*byteReservation).release}, false},
		"an object is needed after the bytes were returned": {[]func(*byteReservation){(*byteReservation).release, (*byteReservation).spend, (*byteReservation).release}, true},
		"the create is refused, and a second one succeeds":  {[]func(*byteReservation){(*byteReservation).spend, (*byteReservation).refund, (*byteReservation).spend}, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			limits := store.DefaultBacklogLimits()
			limits.WriteBytesPerNamespace = payload.MaxBytes
			b := newWriteBudget(limits, func() time.Time { return now })
			reserved, refused := b.reserve("team", writeBytesBurst*payload.MaxBytes, 1)
			if refused != nil {
				t.Fatal(refused)
			}
			for _, step := range c.steps {
				step(reserved[0])
			}
			if counted := b.checkBytes("team") != nil; counted != c.counted {
				t.Errorf("counted: %t, want %t", counted, c.counted)
			}
			if _, refused := b.reserve("team", writeBytesBurst*payload.MaxBytes, 1); refused == nil && b.checkBytes("team") == nil {
				t.Error("more was given back than was taken")
			}
		})
	}
}

func TestWriteThatIsNotMadeIsNotCounted(t *testing.T) {
	now := time.Unix(1000, 0)
	limits := store.DefaultBacklogLimits()
	limits.WritesPerNamespace = 1
	b := newWriteBudget(limits, func() time.Time { return now })
	large := string(make([]byte, maxConcurrentBytes))
	release, err := b.concurrentBytes.Acquire(t.Context(), "team", len(large))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range writesBurst {
		if _, err := b.beginWrite(ended, "team", large); err == nil {
			t.Fatal("two large writes at once")
		}
	}
	if refused := b.check("team"); refused != nil {
		t.Errorf("after writes that were not made: %v", refused)
	}
}

// Forty deliveries that are handed over in the same moment would keep the API server busy for everyone.
func TestSmallWritesOfANamespaceAreFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = maxConcurrentBytes / bytesPerWrite
		b := newWriteBudget(store.DefaultBacklogLimits(), time.Now)
		var underWay, peak int
		var mu sync.Mutex
		count := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			underWay += by
			peak = max(peak, underWay)
		}
		var writes sync.WaitGroup
		for range 3 * most {
			writes.Go(func() {
				release, err := b.beginWrite(t.Context(), "team", "small")
				if err != nil {
					t.Error(err)
					return
				}
				count(1)
				time.Sleep(time.Millisecond)
				count(-1)
				release()
			})
		}
		synctest.Wait()
		if release, err := b.beginWrite(t.Context(), "other", "small"); err != nil {
			t.Error(err)
		} else {
			release()
		}
		mu.Lock()
		if underWay != most {
			t.Errorf("%d writes are under way, want %d", underWay, most)
		}
		mu.Unlock()
		writes.Wait()
		if peak != most {
			t.Errorf("%d writes were under way at a time, want %d", peak, most)
		}
	})
}

func TestSmallWritesThatTakeLongHoldUpOthersForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = maxConcurrentBytes / bytesPerWrite
		b := newWriteBudget(store.DefaultBacklogLimits(), time.Now)
		began := time.Now()
		var releases []func()
		for i := range 2*most + 1 {
			release, err := b.beginWrite(t.Context(), "team", "small")
			if err != nil {
				t.Fatal(err)
			}
			releases = append(releases, release)
			if waited, want := time.Since(began), time.Duration(i/most)*smallWriteHold; waited != want {
				t.Errorf("write %d waited %s, want %s", i, waited, want)
			}
		}
		for _, release := range releases {
			release()
		}
		time.Sleep(2 * smallWriteHold)
		synctest.Wait()
		if len(b.concurrentBytes.namespaces) != 0 {
			t.Error("a namespace is left")
		}
	})
}
