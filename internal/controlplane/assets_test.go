// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// fakeBuilder writes empty binaries.
type fakeBuilder struct {
	builds atomic.Int32
	built  []string     // the last time
	pinned string       // the version that it makes; "v1" if it is empty
	during func() error // what happens half-way
}

func (b *fakeBuilder) key() string { return "v1" }

func (b *fakeBuilder) version(string) string { return cmp.Or(b.pinned, "v1") }

func (b *fakeBuilder) build(_ context.Context, dir string, names []string, _ func(string)) error {
	b.builds.Add(1)
	b.built = names
	for _, name := range names {
		if name == controllerManagerBinary && b.during != nil {
			if err := b.during(); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func discard(string) {}

// buildsOnly are origins without a release.
func buildsOnly(b builder) origins { return origins{builder: b} }

func TestEnsureIn(t *testing.T) {
	t.Run("of several that ask at once one builds", func(t *testing.T) {
		root, b := filepath.Join(t.TempDir(), "cache"), new(fakeBuilder)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				assets, _, err := ensureAssetsIn(t.Context(), root, buildsOnly(b), discard)
				if want := filepath.Join(root, "v1"); err != nil || assets.Dir != want {
					t.Errorf("got %q, %v, want %q", assets.Dir, err, want)
				}
			})
		}
		group.Wait()
		if got := b.builds.Load(); got != 1 {
			t.Errorf("builds: got %d, want 1", got)
		}
	})

	t.Run("a build that fails leaves nothing, and the next call builds again", func(t *testing.T) {
		root, b := t.TempDir(), &fakeBuilder{during: func() error { return errors.New("disk full") }}
		if _, _, err := ensureAssetsIn(t.Context(), root, buildsOnly(b), discard); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("got %v, want disk full", err)
		}
		left, err := filepath.Glob(filepath.Join(root, "v1*", "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		b.during = nil
		if _, _, err := ensureAssetsIn(t.Context(), root, buildsOnly(b), discard); err != nil {
			t.Error(err)
		}
	})

	t.Run("what a killed build left is removed, and half a folder is not taken for whole", func(t *testing.T) {
		root := filepath.Join(t.TempDir(), "[1]") // no pattern
		for _, dir := range []string{"v1", "v1.tmp-1"} {
			if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, dir, etcdBinary), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := ensureAssetsIn(t.Context(), root, buildsOnly(new(fakeBuilder)), discard); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(root, "v1.tmp-1")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left behind: %v", err)
		}
	})

	t.Run("waiting for another process ends with the context and says what it waits for", func(t *testing.T) {
		root := t.TempDir()
		unlock, err := tryLock(filepath.Join(root, "v1.lock"))
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		ctx, cancel := context.WithCancel(t.Context())
		var said []string
		_, _, err = ensureAssetsIn(ctx, root, buildsOnly(new(fakeBuilder)), func(line string) {
			said = append(said, line)
			cancel()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context canceled", err)
		}
		if len(said) != 1 || !strings.HasPrefix(said[0], "waiting for another process") {
			t.Errorf("said: %q", said)
		}
	})
}

func TestEnsure(t *testing.T) {
	t.Run("a folder named by the environment is taken as it is", func(t *testing.T) {
		dir := t.TempDir()
		if err := new(fakeBuilder).build(t.Context(), dir, binaryNames(), discard); err != nil {
			t.Fatal(err)
		}
		t.Setenv(assetsVariable, dir)
		assets, err := Ensure(t.Context(), nil)
		want := Assets{
			Dir:               dir,
			Etcd:              filepath.Join(dir, "etcd"),
			APIServer:         filepath.Join(dir, "kube-apiserver"),
			ControllerManager: filepath.Join(dir, "kube-controller-manager"),
		}
		if err != nil || assets != want {
			t.Errorf("got %+v, %v, want %+v", assets, err, want)
		}
	})

	t.Run("a folder that lacks a binary is refused by name", func(t *testing.T) {
		dir := t.TempDir()
		t.Setenv(assetsVariable, dir)
		for _, name := range []string{etcdBinary, apiServerBinary} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Ensure(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), "no kube-controller-manager in") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRecipe(t *testing.T) {
	r, err := findRecipe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.key(), "kubernetes-v1.") || !strings.Contains(r.key(), "-etcd-v3.") {
		t.Errorf("key: got %q", r.key())
	}
	again, err := findRecipe(t.Context())
	if err != nil || again != r {
		t.Errorf("a second reading differs: %+v, %v", again, err)
	}

	t.Run("a tools module with another version has another key", func(t *testing.T) {
		data, err := os.ReadFile(filepath.Join(r.module, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		changed := strings.Replace(string(data), "k8s.io/apiserver v", "k8s.io/apiserver v9", 1)
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		other, err := readRecipe(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if other.key() == r.key() {
			t.Errorf("both have %q", r.key())
		}
	})
}

func TestBuildOutput(t *testing.T) {
	var out recipeOutput
	for _, part := range []string{
		"go: downloading k8s.io/api v0.37.2\n", "k8s.io/api/core/v1\ngo.etcd.io/", "bbolt\n",
		"# k8s.io/broken\nbroken.go:1:1: syntax error\n", "signal: killed",
	} {
		if n, err := out.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := out.summary(), "2 packages compiled"; got != want {
		t.Errorf("summary: got %q, want %q", got, want)
	}
	if got, want := out.tail(), "# k8s.io/broken\nbroken.go:1:1: syntax error\nsignal: killed"; got != want {
		t.Errorf("tail: got %q, want %q", got, want)
	}
}
