// SPDX-License-Identifier: Apache-2.0

package watchcache

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/types"
)

// describe is a change as text: before, an arrow, after.
func describe(before, after *string) (text string) {
	if before != nil {
		text = *before
	}
	text += ">"
	if after != nil {
		text += *after
	}
	return text
}

func TestSubscribersAreToldOfEveryChangeInOrder(t *testing.T) {
	f := newFixture("")
	var told []string
	f.Subscribe(func(before, after *string) { told = append(told, describe(before, after)) })
	_ = f.store.Replace([]any{object("a", "one", "uid-1", "1", "old")}, "2")
	f.ApplyWrite(object("a", "one", "uid-1", "3", "new"))
	f.ApplyWrite(object("a", "one", "uid-1", "2", "late")) // changes nothing
	_ = f.store.Add(object("a", "two", "uid-2", "4", "two"))
	_ = f.store.Delete(object("a", "two", "uid-2", "5", "two"))
	f.ApplyDelete(types.NamespacedName{Namespace: "a", Name: "one"}, "uid-1")
	if want := []string{">old", "old>new", ">two", "two>", "new>"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}

// TestASubscriberMayUseTheCache hangs if a subscriber is told under the lock of the cache.
func TestASubscriberMayUseTheCache(t *testing.T) {
	f := newFixture("")
	var told []string
	f.Subscribe(func(before, after *string) {
		told = append(told, describe(before, after))
		if entry, ok := f.Get(types.NamespacedName{Namespace: "a", Name: "one"}); !ok || after == nil || entry != *after {
			t.Errorf("the cache holds %q when the subscriber is told of %q", entry, told)
		}
		f.Change(func() {})
		if len(told) < 3 {
			f.ApplyWrite(object("a", "one", "uid-1", strconv.Itoa(len(told)+1), "text "+strconv.Itoa(len(told))))
		}
	})
	f.ApplyWrite(object("a", "one", "uid-1", "1", "text 0"))
	if want := []string{">text 0", "text 0>text 1", "text 1>text 2"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}

func TestConcurrentChangesAreToldOneAtATimeInOrder(t *testing.T) {
	const writers, writes = 8, 200
	f := newFixture("")
	last := map[string]int{} // no lock: one subscriber is told of one change at a time
	total := 0
	f.Subscribe(func(_, after *string) {
		var writer string
		var n int
		if _, err := fmt.Sscanf(*after, "%s %d", &writer, &n); err != nil {
			t.Error(err)
		}
		if n != last[writer]+1 {
			t.Errorf("told of write %d of %s after write %d", n, writer, last[writer])
		}
		last[writer] = n
		total++
	})
	var working sync.WaitGroup
	for writer := range writers {
		working.Go(func() {
			name := "w" + strconv.Itoa(writer)
			for n := 1; n <= writes; n++ {
				f.ApplyWrite(object("a", name, name, strconv.Itoa(n), fmt.Sprintf("%s %d", name, n)))
			}
		})
	}
	working.Wait()
	if total != writers*writes {
		t.Errorf("told of %d changes, want %d", total, writers*writes)
	}
}

func TestNothingIsSyncedThatIsNotTold(t *testing.T) {
	f := newFixture("")
	f.Subscribe(func(_, after *string) {
		if f.Synced() {
			t.Errorf("synced before %q was told", *after)
		}
	})
	_ = f.store.Replace([]any{object("a", "one", "uid-1", "1", "one"), object("a", "two", "uid-2", "1", "two")}, "2")
	if !f.Synced() {
		t.Error("not synced")
	}
}

func TestAwaitSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture("")
		subscriber := make(chan struct{})
		f.Subscribe(func(_, _ *string) { <-subscriber })
		f.AwaitSubscribers() // nothing was to be told
		go f.ApplyWrite(object("a", "one", "uid-1", "1", "one"))
		synctest.Wait()
		awaited := make(chan struct{})
		go func() {
			f.AwaitSubscribers()
			close(awaited)
		}()
		synctest.Wait()
		select {
		case <-awaited:
			t.Error("the subscriber has not been told yet")
		default:
		}
		close(subscriber)
		<-awaited
	})
}

func TestAPanicOfASubscriberIsConfinedToOneChange(t *testing.T) {
	f := newFixture("")
	var told []string
	f.Subscribe(func(_, after *string) {
		if *after == "sting" {
			panic("no entry that anybody expected")
		}
	})
	f.Subscribe(func(before, after *string) { told = append(told, describe(before, after)) })
	_ = f.store.Replace([]any{object("a", "one", "uid-1", "1", "sting"), object("a", "two", "uid-2", "1", "two")}, "2")
	if want := []string{">sting", ">two"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
	f.holds(t, map[string]string{"a/one": "sting", "a/two": "two"})
}
