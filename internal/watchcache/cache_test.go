// SPDX-License-Identifier: Apache-2.0

package watchcache

import (
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// fixture is a cache of ConfigMaps that keeps their key "text", the store that a
// watch fills, and what the index was told.
type fixture struct {
	*Cache[*corev1.ConfigMap, string]

	store reflectorStore[*corev1.ConfigMap, string]
	index []string // what the index holds, by its own account
	clock time.Time
}

func newFixture(namespace string) *fixture {
	f := &fixture{clock: time.Unix(0, 0)}
	f.Cache = New(func(c *corev1.ConfigMap) string { return c.Data["text"] }, func(before, after *string) {
		if before != nil {
			i := slices.Index(f.index, *before)
			f.index = slices.Delete(f.index, i, i+1)
		}
		if after != nil {
			f.index = append(f.index, *after)
		}
	}, func() time.Time { return f.clock })
	f.store = newReflectorStore(f.Cache, namespace)
	return f
}

func object(namespace, name, uid, version, text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(uid), ResourceVersion: version},
		Data:       map[string]string{"text": text},
	}
}

// holds says what the cache must hold, by name in the namespace "a".
func (f *fixture) holds(t *testing.T, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for key, known := range f.entries {
		got[key.Namespace+"/"+key.Name] = known.entry
	}
	if !maps.Equal(got, want) {
		t.Errorf("the cache holds %v, want %v", got, want)
	}
	if index, entries := slices.Sorted(slices.Values(f.index)), slices.Sorted(maps.Values(want)); !slices.Equal(index, entries) {
		t.Errorf("the index holds %v, want %v", index, entries)
	}
}

func TestCache(t *testing.T) {
	const a = "a"
	one := func(version, text string) *corev1.ConfigMap { return object(a, "one", "uid-1", version, text) }
	for name, c := range map[string]struct {
		do   func(*fixture)
		want map[string]string
	}{
		"an own write shows before the watch has it": {
			func(f *fixture) { f.ApplyWrite(one("5", "new")) },
			map[string]string{"a/one": "new"},
		},
		"the watch does not bring back what an own write replaced": {
			func(f *fixture) { f.ApplyWrite(one("105", "new")); _ = f.store.Update(one("99", "old")) },
			map[string]string{"a/one": "new"},
		},
		"a write that is applied late does not replace a newer version from the watch": {
			func(f *fixture) { _ = f.store.Add(one("10", "newer")); f.ApplyWrite(one("9", "late")) },
			map[string]string{"a/one": "newer"},
		},
		"a write that is applied after the watch showed the deletion stays deleted": {
			func(f *fixture) {
				_ = f.store.Add(one("5", "x"))
				_ = f.store.Delete(one("7", "x"))
				f.ApplyWrite(one("5", "x"))
			},
			map[string]string{},
		},
		"a bookmark advances the position of the watch": {
			func(f *fixture) {
				_ = f.store.Bookmark("50")
				f.ApplyWrite(one("49", "gone"))
				f.ApplyWrite(object(a, "two", "uid-2", "51", "here"))
			},
			map[string]string{"a/two": "here"},
		},
		"a list keeps objects that were written after it was made": {
			func(f *fixture) {
				f.ApplyWrite(one("20", "written"))
				_ = f.store.Add(object(a, "two", "uid-2", "3", "left"))
				_ = f.store.Replace([]any{object(a, "three", "uid-3", "4", "listed")}, "10")
			},
			map[string]string{"a/one": "written", "a/three": "listed"},
		},
		"an object that was deleted here stays away while older versions arrive": {
			func(f *fixture) {
				f.ApplyWrite(one("5", "x"))
				f.ApplyDelete(types.NamespacedName{Namespace: a, Name: "one"}, "uid-1")
				_ = f.store.Update(one("6", "x"))
			},
			map[string]string{},
		},
		"a new object under the name of one deleted here shows": {
			func(f *fixture) {
				f.ApplyWrite(one("5", "x"))
				f.ApplyDelete(types.NamespacedName{Namespace: a, Name: "one"}, "uid-1")
				_ = f.store.Add(object(a, "one", "uid-9", "8", "anew"))
				_ = f.store.Delete(one("7", "x"))
			},
			map[string]string{"a/one": "anew"},
		},
		"a deletion of another object of that name changes nothing": {
			func(f *fixture) {
				f.ApplyWrite(one("5", "x"))
				f.ApplyDelete(types.NamespacedName{Namespace: a, Name: "one"}, "uid-0")
			},
			map[string]string{"a/one": "x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture("")
			c.do(f)
			f.holds(t, c.want)
		})
	}
}

func TestWatchesOfSeveralNamespacesAreIndependent(t *testing.T) {
	f := newFixture("a")
	b := newReflectorStore(f.Cache, "b")
	_ = b.Replace([]any{object("b", "one", "uid-1", "3", "of b")}, "9")
	if f.Synced() {
		t.Error("synced before a was listed")
	}
	_ = f.store.Replace([]any{object("a", "one", "uid-2", "4", "of a")}, "9")
	if !f.Synced() {
		t.Error("not synced after both were listed")
	}
	_ = f.store.Replace(nil, "10")
	f.holds(t, map[string]string{"b/one": "of b"})
}

func TestStaleness(t *testing.T) {
	f := newFixture("")
	f.clock = f.clock.Add(30 * time.Second)
	if got := f.Staleness(); got != 30*time.Second {
		t.Errorf("stale for %s after 30s of nothing", got)
	}
	_ = f.store.Bookmark("5")
	if got := f.Staleness(); got != 0 {
		t.Errorf("stale for %s after a bookmark", got)
	}
	f.clock = f.clock.Add(time.Minute)
	f.ConfirmFresh()
	if got := f.Staleness(); got != 0 {
		t.Errorf("stale for %s after a sign of life", got)
	}
	_ = f.store.Bookmark("6")
	f.clock = f.clock.Add(2 * time.Hour) // answers come, but nothing from this watch
	f.ConfirmFresh()
	if got := f.Staleness(); got != 2*time.Hour {
		t.Errorf("stale for %s while the watch was broken for 2h", got)
	}
}

func TestAPanicOverOneObjectDoesNotAffectOthers(t *testing.T) {
	f := newFixture("")
	index := f.Cache.index
	f.Cache.reduce = func(c *corev1.ConfigMap) string {
		if c.Data["text"] == "poison" {
			panic("no text that anybody expected")
		}
		return c.Data["text"]
	}
	f.Cache.index = func(before, after *string) {
		if after != nil && *after == "sting" {
			panic("no entry that anybody expected")
		}
		index(before, after)
	}
	list := []any{object("a", "one", "uid-1", "1", "here"), object("a", "two", "uid-2", "2", "poison"), object("a", "three", "uid-3", "3", "here, too")}
	if err := f.store.Replace(list, "3"); err != nil {
		t.Fatal(err)
	}
	if !f.Synced() {
		t.Error("what else there is does not count as known")
	}
	f.holds(t, map[string]string{"a/one": "here", "a/three": "here, too"})
	if err := f.store.Update(object("a", "one", "uid-1", "4", "poison")); err != nil {
		t.Fatal(err)
	}
	f.holds(t, map[string]string{"a/three": "here, too"}) // the former text of the other is not true any more
	if err := f.store.Update(object("a", "four", "uid-4", "5", "sting")); err != nil {
		t.Fatal(err)
	}
	if err := f.store.Update(object("a", "one", "uid-1", "6", "well again")); err != nil {
		t.Fatal(err)
	}
	if entry, ok := f.Get(types.NamespacedName{Namespace: "a", Name: "one"}); !ok || entry != "well again" {
		t.Errorf("got %q, %t", entry, ok)
	}
}
