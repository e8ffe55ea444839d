// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// world is a mirror of ConfigMaps that keeps their key "text", the store that a
// watch fills, and what the index was told.
type world struct {
	*Mirror[*corev1.ConfigMap, string]

	store store[*corev1.ConfigMap, string]
	index []string // what the index holds, by its own account
	clock time.Time
}

func newWorld(namespace string) *world {
	w := &world{clock: time.Unix(0, 0)}
	w.Mirror = New(func(c *corev1.ConfigMap) string { return c.Data["text"] }, func(before, after *string) {
		if before != nil {
			i := slices.Index(w.index, *before)
			w.index = slices.Delete(w.index, i, i+1)
		}
		if after != nil {
			w.index = append(w.index, *after)
		}
	}, func() time.Time { return w.clock })
	w.store = newStore(w.Mirror, namespace)
	return w
}

func object(namespace, name, uid, version, text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(uid), ResourceVersion: version},
		Data:       map[string]string{"text": text},
	}
}

// holds says what the mirror must hold, by name in the namespace "a".
func (w *world) holds(t *testing.T, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for key, known := range w.entries {
		got[key.Namespace+"/"+key.Name] = known.entry
	}
	if !maps.Equal(got, want) {
		t.Errorf("the mirror holds %v, want %v", got, want)
	}
	if index, entries := slices.Sorted(slices.Values(w.index)), slices.Sorted(maps.Values(want)); !slices.Equal(index, entries) {
		t.Errorf("the index holds %v, want %v", index, entries)
	}
}

func TestMirror(t *testing.T) {
	const a = "a"
	one := func(version, text string) *corev1.ConfigMap { return object(a, "one", "uid-1", version, text) }
	for name, c := range map[string]struct {
		do   func(*world)
		want map[string]string
	}{
		"an own write shows before the watch tells of it": {
			func(w *world) { w.Note(one("5", "new")) },
			map[string]string{"a/one": "new"},
		},
		"the watch does not bring back what an own write replaced": {
			func(w *world) { w.Note(one("105", "new")); _ = w.store.Update(one("99", "old")) },
			map[string]string{"a/one": "new"},
		},
		"a write that is noted late does not replace what the watch told since": {
			func(w *world) { _ = w.store.Add(one("10", "newer")); w.Note(one("9", "late")) },
			map[string]string{"a/one": "newer"},
		},
		"a write that is noted after the watch told of the end stays ended": {
			func(w *world) {
				_ = w.store.Add(one("5", "x"))
				_ = w.store.Delete(one("7", "x"))
				w.Note(one("5", "x"))
			},
			map[string]string{},
		},
		"a bookmark tells as well how far the watch has come": {
			func(w *world) {
				_ = w.store.Bookmark("50")
				w.Note(one("49", "gone"))
				w.Note(object(a, "two", "uid-2", "51", "here"))
			},
			map[string]string{"a/two": "here"},
		},
		"a list keeps what was written after it was made": {
			func(w *world) {
				w.Note(one("20", "written"))
				_ = w.store.Add(object(a, "two", "uid-2", "3", "left"))
				_ = w.store.Replace([]any{object(a, "three", "uid-3", "4", "listed")}, "10")
			},
			map[string]string{"a/one": "written", "a/three": "listed"},
		},
		"what was deleted here stays away while older versions arrive": {
			func(w *world) {
				w.Note(one("5", "x"))
				w.Forget(types.NamespacedName{Namespace: a, Name: "one"}, "uid-1")
				_ = w.store.Update(one("6", "x"))
			},
			map[string]string{},
		},
		"what is made anew under the name of what was deleted here shows": {
			func(w *world) {
				w.Note(one("5", "x"))
				w.Forget(types.NamespacedName{Namespace: a, Name: "one"}, "uid-1")
				_ = w.store.Add(object(a, "one", "uid-9", "8", "anew"))
				_ = w.store.Delete(one("7", "x"))
			},
			map[string]string{"a/one": "anew"},
		},
		"a deletion of another object of that name is nothing": {
			func(w *world) {
				w.Note(one("5", "x"))
				w.Forget(types.NamespacedName{Namespace: a, Name: "one"}, "uid-0")
			},
			map[string]string{"a/one": "x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld("")
			c.do(w)
			w.holds(t, c.want)
		})
	}
}

func TestWatchesOfSeveralNamespacesLeaveEachOtherAlone(t *testing.T) {
	w := newWorld("a")
	b := newStore(w.Mirror, "b")
	_ = b.Replace([]any{object("b", "one", "uid-1", "3", "of b")}, "9")
	if w.Synced() {
		t.Error("synced before a was listed")
	}
	_ = w.store.Replace([]any{object("a", "one", "uid-2", "4", "of a")}, "9")
	if !w.Synced() {
		t.Error("not synced after both were listed")
	}
	_ = w.store.Replace(nil, "10")
	w.holds(t, map[string]string{"b/one": "of b"})
}

func TestSilence(t *testing.T) {
	w := newWorld("")
	w.clock = w.clock.Add(30 * time.Second)
	if got := w.Silence(); got != 30*time.Second {
		t.Errorf("silent for %s after 30s of nothing", got)
	}
	_ = w.store.Bookmark("5")
	if got := w.Silence(); got != 0 {
		t.Errorf("silent for %s after a bookmark", got)
	}
	w.clock = w.clock.Add(time.Minute)
	w.Heard()
	if got := w.Silence(); got != 0 {
		t.Errorf("silent for %s after a sign of life", got)
	}
	_ = w.store.Bookmark("6")
	w.clock = w.clock.Add(2 * time.Hour) // answers come, but nothing from this watch
	w.Heard()
	if got := w.Silence(); got != 2*time.Hour {
		t.Errorf("silent for %s while the watch was broken for 2h", got)
	}
}

func TestAPanicOverOneObjectIsThatObjects(t *testing.T) {
	w := newWorld("")
	index := w.Mirror.index
	w.Mirror.reduce = func(c *corev1.ConfigMap) string {
		if c.Data["text"] == "poison" {
			panic("no text that anybody expected")
		}
		return c.Data["text"]
	}
	w.Mirror.index = func(before, after *string) {
		if after != nil && *after == "sting" {
			panic("no entry that anybody expected")
		}
		index(before, after)
	}
	list := []any{object("a", "one", "uid-1", "1", "here"), object("a", "two", "uid-2", "2", "poison"), object("a", "three", "uid-3", "3", "here, too")}
	if err := w.store.Replace(list, "3"); err != nil {
		t.Fatal(err)
	}
	if !w.Synced() {
		t.Error("what else there is does not count as known")
	}
	w.holds(t, map[string]string{"a/one": "here", "a/three": "here, too"})
	if err := w.store.Update(object("a", "one", "uid-1", "4", "poison")); err != nil {
		t.Fatal(err)
	}
	w.holds(t, map[string]string{"a/three": "here, too"}) // the former text of the other is not true any more
	if err := w.store.Update(object("a", "four", "uid-4", "5", "sting")); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Update(object("a", "one", "uid-1", "6", "well again")); err != nil {
		t.Fatal(err)
	}
	if entry, ok := w.Get(types.NamespacedName{Namespace: "a", Name: "one"}); !ok || entry != "well again" {
		t.Errorf("got %q, %t", entry, ok)
	}
}
