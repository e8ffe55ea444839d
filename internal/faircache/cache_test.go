// SPDX-License-Identifier: Apache-2.0

package faircache

import (
	"fmt"
	"testing"
	"time"
)

func TestCache(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := New[string, int](4, func() time.Time { return now })
	want := func(key string, value int) {
		t.Helper()
		if got, ok := c.Get(key); got != value || ok != (value != 0) {
			t.Errorf("%s: %d, %t, want %d", key, got, ok, value)
		}
	}
	c.Put("a", "one", 1, time.Minute)
	c.Put("a", "one", 2, time.Minute)
	want("one", 2)
	want("two", 0)
	now = now.Add(time.Minute)
	want("one", 0)
	if c.Len() != 0 || len(c.owners) != 0 {
		t.Errorf("%d entries of %d owners are left", c.Len(), len(c.owners))
	}
	c.Put("a", "one", 1, time.Minute)
	c.Put("b", "one", 3, time.Minute)
	want("one", 3)
	c.Delete("one")
	c.Delete("one")
	want("one", 0)
}

func TestTheOwnerWithTheMostLosesWhatItUsedLeast(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := New[string, bool](4, func() time.Time { return now })
	c.Put("quiet", "quiet", true, time.Minute)
	for n := range 3 {
		c.Put("loud", fmt.Sprint(n), true, time.Minute)
	}
	c.Get("0")
	for n := range 1000 {
		c.Put("loud", fmt.Sprint("more", n), true, time.Minute)
		c.Get("0")
		if _, ok := c.Get("quiet"); !ok {
			t.Fatal("the other owner's entry is gone")
		}
	}
	if _, ok := c.Get("0"); !ok {
		t.Error("what was used a moment ago is gone")
	}
	if c.Len() != 4 {
		t.Errorf("%d entries", c.Len())
	}
}
