// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"bbmcp.quietstack.com/webhooks/internal/controlplane/release"
)

// releaseHost stands in for the hosts of official releases: it has a file for each path, and counts who asks.
type releaseHost struct {
	*httptest.Server

	mu    sync.Mutex
	files map[string][]byte
	asked []string
	// answer, if set, answers instead.
	answer http.HandlerFunc
}

func newReleaseHost(t *testing.T) *releaseHost {
	h := &releaseHost{files: map[string][]byte{}}
	h.Server = httptest.NewUnstartedServer(h)
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

func (h *releaseHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked = append(h.asked, r.URL.Path)
	content, found := h.files[r.URL.Path]
	answer := h.answer
	h.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case found:
		_, _ = w.Write(content)
	default:
		http.NotFound(w, r)
	}
}

// requests are the paths that were asked for since the last call.
func (h *releaseHost) requests() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := h.asked
	h.asked = nil
	return asked
}

// origins are those of a table with one archive for Kubernetes and a binary for etcd, both on the host and of version "v1".
func (h *releaseHost) origins(t *testing.T, b builder) origins {
	t.Helper()
	packed := pack(t, map[string][]byte{"kubernetes/server/bin/" + apiServerBinary: []byte("official"), "kubernetes/server/bin/" + controllerManagerBinary: []byte("official")})
	h.files["/server.tar.gz"], h.files["/etcd"] = packed, []byte("official")
	sum := sha512.Sum512(packed)
	roots := x509.NewCertPool()
	roots.AddCert(h.Certificate())
	return origins{
		builder:    b,
		downloader: release.Downloader{Hosts: []string{h.Listener.Addr().String()}, Roots: roots, Patience: time.Minute},
		releases: []officialRelease{
			{platform: releasePlatform(), version: "v1", File: release.File{
				URL: h.URL + "/server.tar.gz", Digest: hex.EncodeToString(sum[:]), Folder: "kubernetes/server/bin",
				Binaries: []string{apiServerBinary, controllerManagerBinary}, MaxSize: 1 << 20, MaxUnpacked: 1 << 20,
			}},
			{platform: releasePlatform(), version: "v1", File: release.File{
				URL: h.URL + "/etcd", Digest: fmt.Sprintf("%x", sha256.Sum256([]byte("official"))), Binaries: []string{etcdBinary}, MaxSize: 1 << 20,
			}},
		},
	}
}

// pack makes a tar.gz, in the order of the names, without compressing.
func pack(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	tarred := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := tarred.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tarred.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tarred.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// lines collects what is told of progress.
type lines struct {
	mu   sync.Mutex
	said []string
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, line)
}

// with returns the only line that begins so.
func (l *lines) with(t *testing.T, begin string) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	found := slices.DeleteFunc(slices.Clone(l.said), func(line string) bool { return !strings.HasPrefix(line, begin) })
	if len(found) != 1 || strings.Contains(found[0], "\n") {
		t.Errorf("got %q among %q, want one line that begins with %q", found, l.said, begin)
		return ""
	}
	return found[0]
}

func TestReleasesAreDownloaded(t *testing.T) {
	t.Run("what matches the table is installed and nothing is built", func(t *testing.T) {
		h, b, root := newReleaseHost(t), new(fakeBuilder), t.TempDir()
		var said lines
		assets, spent, err := ensureAssetsIn(t.Context(), root, h.origins(t, b), said.add)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{assets.Etcd, assets.APIServer, assets.ControllerManager} {
			if content, err := os.ReadFile(path); err != nil || string(content) != "official" {
				t.Errorf("%s: got %q, %v", path, content, err)
			}
		}
		if b.builds.Load() != 0 {
			t.Error("it was built as well")
		}
		if want := int64(len(h.files["/server.tar.gz"]) + len("official")); spent.downloaded != want || spent.download <= 0 || spent.compile != 0 {
			t.Errorf("got %s, want %d bytes and no compiling", spent, want)
		}
		if len(said.said) != 2 {
			t.Errorf("said %q, want two lines", said.said)
		}
		said.with(t, "downloading kube-apiserver, kube-controller-manager v1 from 127.0.0.1:")
		said.with(t, "downloaded 0.0 MiB in 0s, digests as published")

		h.requests()
		if _, spent, err = ensureAssetsIn(t.Context(), root, h.origins(t, b), said.add); err != nil || spent != (originEffort{}) {
			t.Errorf("a second time: %s, %v", spent, err)
		}
		if asked := h.requests(); len(asked) > 0 {
			t.Errorf("a second time asks for %q", asked)
		}
	})

	t.Run("releases of another patch than would be built are taken, and said", func(t *testing.T) {
		h, b := newReleaseHost(t), &fakeBuilder{pinned: "v1.37.2"}
		from := h.origins(t, b)
		from.releases[0].version, from.releases[1].version = "v1.37.1", "v1.37.3"
		var said lines
		if _, _, err := ensureAssetsIn(t.Context(), t.TempDir(), from, said.add); err != nil {
			t.Fatal(err)
		}
		if b.builds.Load() != 0 {
			t.Errorf("built %q", b.built)
		}
		if line := said.with(t, "downloading kube-apiserver, kube-controller-manager v1.37.1 from 127.0.0.1:"); !strings.Contains(line, "etcd v1.37.3 from") {
			t.Errorf("said %q", line)
		}
	})

	t.Run("of several that ask at once one downloads", func(t *testing.T) {
		h, b, root := newReleaseHost(t), new(fakeBuilder), t.TempDir()
		from := h.origins(t, b)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if _, _, err := ensureAssetsIn(t.Context(), root, from, discard); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if got := h.requests(); !slices.Equal(got, []string{"/server.tar.gz", "/etcd"}) {
			t.Errorf("asked for %q", got)
		}
	})
}

func TestReleasesThatCannotBeHadAreBuilt(t *testing.T) {
	all := binaryNames()
	kubernetes := []string{apiServerBinary, controllerManagerBinary}
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, h *releaseHost, o *origins)
		built  []string
		said   string // the begin of one line
		asked  int
	}{
		{"a wrong digest", func(_ *testing.T, h *releaseHost, _ *origins) { h.files["/etcd"] = []byte("forged") },
			[]string{etcdBinary}, "cannot download etcd v1: 127.0.0.1:", 2},
		{"404", func(_ *testing.T, h *releaseHost, _ *origins) { delete(h.files, "/server.tar.gz") },
			kubernetes, "cannot download kube-apiserver, kube-controller-manager v1: 127.0.0.1:", 2},
		{"a host that hangs", func(_ *testing.T, h *releaseHost, o *origins) {
			o.downloader.Patience = time.Second
			h.answer = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}, all, "cannot download kube-apiserver, kube-controller-manager v1: 127.0.0.1:", 1},
		{"a host that hangs in the middle", func(_ *testing.T, h *releaseHost, o *origins) {
			o.downloader.Patience = 3 * time.Second
			h.answer = func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write(h.files[r.URL.Path][:4])
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
		}, all, "cannot download etcd v1: 127.0.0.1:", 2},
		{"a host that is not there", func(_ *testing.T, h *releaseHost, _ *origins) { h.Close() },
			all, "cannot download kube-apiserver, kube-controller-manager v1: 127.0.0.1:", 0},
		{"half a file", func(_ *testing.T, h *releaseHost, _ *origins) {
			h.files["/server.tar.gz"] = h.files["/server.tar.gz"][:100]
		},
			kubernetes, "cannot download kube-apiserver, kube-controller-manager v1: 127.0.0.1:", 2},
		{"a redirect elsewhere", func(_ *testing.T, h *releaseHost, _ *origins) {
			h.answer = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://127.0.0.2:1/", http.StatusFound)
			}
		}, all, "cannot download etcd v1: 127.0.0.1:", 2},
		{"an archive without a binary", func(t *testing.T, h *releaseHost, o *origins) {
			packed := pack(t, map[string][]byte{"kubernetes/server/bin/" + apiServerBinary: nil, "../x": nil})
			sum := sha512.Sum512(packed)
			h.files["/server.tar.gz"], o.releases[0].Digest = packed, hex.EncodeToString(sum[:])
		}, kubernetes, "cannot download kube-apiserver, kube-controller-manager v1: 127.0.0.1:", 2},
		{"a table without digests", func(_ *testing.T, _ *releaseHost, o *origins) { o.releases = nil },
			all, "no official release to download: the tree has no digest of ", 0},
		{"a table of another platform", func(_ *testing.T, _ *releaseHost, o *origins) {
			o.releases[0].platform, o.releases[1].platform = "plan9/amd64", ""
		},
			all, "no official release to download: the tree has no digest of ", 0},
		{"a table of another version", func(_ *testing.T, _ *releaseHost, o *origins) { o.releases[0].version = "v2" },
			kubernetes, "downloaded ", 1},
		{"a table of another minor version", func(_ *testing.T, _ *releaseHost, o *origins) {
			o.builder.(*fakeBuilder).pinned = "v1.37.2"
			o.releases[0].version, o.releases[1].version = "v1.38.2", "v1.37.0"
		}, kubernetes, "downloaded ", 1},
		{"a digest that is cut", func(_ *testing.T, _ *releaseHost, o *origins) { o.releases[1].Digest = "0a" },
			[]string{etcdBinary}, "cannot download etcd v1: ", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, b := newReleaseHost(t), new(fakeBuilder)
			from := h.origins(t, b)
			tc.change(t, h, &from)
			var said lines
			begin := time.Now()
			assets, spent, err := ensureAssetsIn(t.Context(), t.TempDir(), from, said.add)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(b.built, tc.built) {
				t.Errorf("built %q, want %q", b.built, tc.built)
			}
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("noticed after %s", took)
			}
			said.with(t, tc.said)
			if asked := h.requests(); len(asked) != tc.asked {
				t.Errorf("asked for %q, want %d requests", asked, tc.asked)
			}
			if spent.compile <= 0 {
				t.Errorf("got %s, want some time to build", spent)
			}
			for _, path := range []string{assets.Etcd, assets.APIServer, assets.ControllerManager} {
				want := "official"
				if slices.Contains(tc.built, filepath.Base(path)) {
					want = ""
				}
				if content, err := os.ReadFile(path); err != nil || string(content) != want {
					t.Errorf("%s: got %q, %v, want %q", path, content, err, want)
				}
			}
			if left, err := filepath.Glob(filepath.Join(assets.Dir, "*")); err != nil || len(left) != 3 {
				t.Errorf("the folder has %q, %v", left, err)
			}
		})
	}

	t.Run("what a host says is no command to a terminal", func(t *testing.T) {
		h, b := newReleaseHost(t), new(fakeBuilder)
		from := h.origins(t, b)
		h.answer = func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, "HTTP/1.1 404 \x1b]0;forged\a\x1b[2J%s\r\nContent-Length: 0\r\n\r\n", strings.Repeat("x", 10_000))
		}
		var said lines
		if _, _, err := ensureAssetsIn(t.Context(), t.TempDir(), from, said.add); err != nil {
			t.Fatal(err)
		}
		line := said.with(t, "cannot download etcd v1: 127.0.0.1:")
		if strings.ContainsFunc(line, unicode.IsControl) || len(line) > 500 || !strings.Contains(line, "answers 404 ]0;forged") {
			t.Errorf("said %q", line)
		}
	})

	t.Run("a caller that gives up meanwhile gets an error and nothing is built", func(t *testing.T) {
		h, b, root := newReleaseHost(t), new(fakeBuilder), t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		from := h.origins(t, b)
		h.answer = func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}
		if _, _, err := ensureAssetsIn(ctx, root, from, discard); !errors.Is(err, context.Canceled) || b.builds.Load() != 0 {
			t.Errorf("got %v and %d builds", err, b.builds.Load())
		}
		if left, err := filepath.Glob(filepath.Join(root, "v1*", "*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	})

	t.Run("a build that fails after a download leaves nothing", func(t *testing.T) {
		h, root := newReleaseHost(t), t.TempDir()
		b := &fakeBuilder{during: func() error { return errors.New("disk full") }}
		from := h.origins(t, b)
		delete(h.files, "/server.tar.gz")
		if _, _, err := ensureAssetsIn(t.Context(), root, from, discard); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("got %v, want disk full", err)
		}
		if left, err := filepath.Glob(filepath.Join(root, "v1*", "*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	})
}
