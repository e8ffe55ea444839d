// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// How long a host may be silent: one that is not to be caught at it, on a machine that is busy, and one that is.
const (
	ample = time.Minute
	brief = 300 * time.Millisecond
)

// host stands in for a release host.
func host(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	server := httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// downloaderFor trusts the servers and takes them for release hosts.
func downloaderFor(servers ...*httptest.Server) *Downloader {
	d := &Downloader{Patience: ample, Roots: x509.NewCertPool()}
	for _, server := range servers {
		d.Hosts = append(d.Hosts, server.Listener.Addr().String())
		d.Roots.AddCert(server.Certificate())
	}
	return d
}

func serve(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }
}

// hang answers nothing more until the client is gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func sha256Of(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func sha512Of(content []byte) string {
	sum := sha512.Sum512(content)
	return hex.EncodeToString(sum[:])
}

// binaryFile is a release of one binary with this content.
func binaryFile(server *httptest.Server, content []byte) File {
	return File{URL: server.URL + "/etcd?signature=secret", Digest: sha256Of(content), Binaries: []string{"etcd"}, MaxSize: 1 << 20}
}

// archiveFile is a release of two binaries in an archive.
func archiveFile(server *httptest.Server, packed []byte) File {
	return File{
		URL: server.URL + "/all.tar.gz", Digest: sha512Of(packed), Binaries: []string{"etcd", "etcdctl"}, Folder: "a/bin",
		MaxSize: 1 << 20, MaxUnpacked: 1 << 20,
	}
}

// fetch downloads into a new folder and returns it with what Fetch says.
func fetch(t *testing.T, d *Downloader, f File) (dir string, size int64, err error) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "in", "a", "cache")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	size, err = d.Fetch(t.Context(), f, dir)
	return dir, size, err
}

// expectRefused checks that the error says why and that the file system is as before.
func expectRefused(t *testing.T, dir string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
	if err != nil && strings.Contains(err.Error(), "signature") {
		t.Errorf("the error tells the whole address: %v", err)
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(dir)))
	walkErr := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if walkErr != nil {
		t.Error(walkErr)
	}
}

func expectBinary(t *testing.T, dir, name, want string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != want {
		t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
	}
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("%s: got %v, %v, want an executable", name, info, err)
	}
}

func TestFetchBinary(t *testing.T) {
	content := bytes.Repeat([]byte("etcd"), 50_000)
	server := host(t, serve(content))

	t.Run("a binary with the published digest becomes executable", func(t *testing.T) {
		dir, size, err := fetch(t, downloaderFor(server), binaryFile(server, content))
		if err != nil || size != int64(len(content)) {
			t.Fatalf("got %d, %v", size, err)
		}
		expectBinary(t, dir, "etcd", string(content))
	})

	t.Run("SHA-512 is as good", func(t *testing.T) {
		f := binaryFile(server, content)
		f.Digest = sha512Of(content)
		dir, _, err := fetch(t, downloaderFor(server), f)
		if err != nil {
			t.Fatal(err)
		}
		expectBinary(t, dir, "etcd", string(content))
	})

	t.Run("a binary with another digest is removed", func(t *testing.T) {
		dir, _, err := fetch(t, downloaderFor(server), binaryFile(server, []byte("other")))
		expectRefused(t, dir, err, "not the published file")
		if !errors.Is(err, ErrDigest) {
			t.Errorf("got %v, want ErrDigest", err)
		}
	})

	t.Run("what has come so far is not executable and has another name", func(t *testing.T) {
		dir := t.TempDir()
		var seen []string // names and modes
		server := host(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(content[:100_000])
			_ = http.NewResponseController(w).Flush()
			for deadline := time.Now().Add(ample / 4); len(seen) == 0 && time.Now().Before(deadline); {
				names, _ := os.ReadDir(dir)
				for _, name := range names {
					if info, err := name.Info(); err == nil {
						seen = append(seen, info.Mode().String()+" "+name.Name())
					}
				}
			}
			_, _ = w.Write(content[100_000:])
		})
		f := binaryFile(server, content)
		if _, err := downloaderFor(server).Fetch(t.Context(), f, dir); err != nil {
			t.Fatal(err)
		}
		if want := []string{"-rw------- etcd.unchecked"}; !slices.Equal(seen, want) {
			t.Errorf("meanwhile there was %q, want %q", seen, want)
		}
		expectBinary(t, dir, "etcd", string(content))
	})

	t.Run("progress is told", func(t *testing.T) {
		d := downloaderFor(server)
		var last, of int64
		d.Report = func(done, total int64) { last, of = done, total }
		if _, _, err := fetch(t, d, binaryFile(server, content)); err != nil {
			t.Fatal(err)
		}
		if last == 0 || last > int64(len(content)) || of != int64(len(content)) && of != -1 {
			t.Errorf("got %d of %d", last, of)
		}
	})
}

func TestFetchFromAHostThatFails(t *testing.T) {
	content := bytes.Repeat([]byte("etcd"), 50_000)
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"404", http.NotFound, "answers 404 Not Found"},
		{"a host that never answers", hang, "no answer: silent for 300ms"},
		{"a host that falls silent in the middle", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(content[:100_000])
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
		}, "silent for 300ms"},
		{"a host that sends byte after byte", func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(content) && r.Context().Err() == nil; i++ {
				_, _ = w.Write(content[i : i+1])
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Millisecond)
			}
		}, "silent for 300ms"},
		{"half a file", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content[:len(content)/2])
		}, "unexpected EOF"},
		{"half a file that looks whole", serve(content[:len(content)/2]), "not the published file"},
		{"an empty file", serve(nil), "not the published file"},
		{"a file that is said to be larger than is allowed", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(2<<20))
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
		}, "more than the 1.0 MiB that are allowed"},
		{"a file without end", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write(content)
			}
		}, "more than the 1.0 MiB that are allowed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := host(t, tc.answer)
			d := downloaderFor(server)
			if strings.Contains(tc.want, "silent") {
				d.Patience = brief
			}
			begin := time.Now()
			dir, _, err := fetch(t, d, binaryFile(server, content))
			expectRefused(t, dir, err, tc.want)
			if took := time.Since(begin); took > ample/2 {
				t.Errorf("noticed after %s", took)
			}
		})
	}

	t.Run("a host that refuses connections is known by its error", func(t *testing.T) {
		server := host(t, hang)
		d, f := downloaderFor(server), binaryFile(server, content)
		server.Close()
		dir, _, err := fetch(t, d, f)
		expectRefused(t, dir, err, "connection refused")
		if !errors.Is(err, ErrNoAnswer) {
			t.Errorf("got %v, want ErrNoAnswer", err)
		}
	})

	t.Run("a host that accepts connections and says nothing", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		d := &Downloader{Hosts: []string{listener.Addr().String()}, Patience: brief}
		f := File{URL: "https://" + listener.Addr().String() + "/etcd", Digest: sha256Of(content), Binaries: []string{"etcd"}, MaxSize: 1}
		dir, _, err := fetch(t, d, f)
		expectRefused(t, dir, err, "no answer: silent for 300ms")
	})

	t.Run("a certificate that nobody vouches for", func(t *testing.T) {
		server := host(t, serve(content))
		d := downloaderFor(server)
		d.Roots = x509.NewCertPool()
		dir, _, err := fetch(t, d, binaryFile(server, content))
		expectRefused(t, dir, err, "certificate")
	})

	t.Run("a caller that gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		server := host(t, func(w http.ResponseWriter, r *http.Request) {
			cancel()
			hang(w, r)
		})
		_, err := downloaderFor(server).Fetch(ctx, binaryFile(server, content), t.TempDir())
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context canceled", err)
		}
	})
}

func TestFetchRedirected(t *testing.T) {
	content := []byte("etcd")
	target := host(t, serve(content))
	stranger := host(t, func(http.ResponseWriter, *http.Request) { t.Error("the stranger was asked") })
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("plain HTTP was asked") }))
	defer plain.Close()
	for _, tc := range []struct{ name, to, want string }{
		{"to another release host", target.URL + "/etcd", ""},
		{"to a host that is none", stranger.URL + "/etcd", "serves no official releases"},
		{"to plain HTTP", plain.URL, "serves no official releases"},
		{"to a release host without TLS", "http://" + target.Listener.Addr().String(), "serves no official releases"},
		{"with a user's name", strings.Replace(target.URL, "https://", "https://user:word@", 1), "serves no official releases"},
		{"to a file of this machine", "file:///etc/passwd", "serves no official releases"},
		{"in circles", "/again", "more than 3 times"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			source := host(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, tc.to, http.StatusFound) })
			d := downloaderFor(source, target)
			d.Roots.AddCert(stranger.Certificate())
			dir, _, err := fetch(t, d, binaryFile(source, content))
			if tc.want != "" {
				expectRefused(t, dir, err, tc.want)
				if errors.Is(err, ErrNoAnswer) {
					t.Errorf("taken for silence: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			expectBinary(t, dir, "etcd", string(content))
		})
	}

	t.Run("a file of another host is not asked for", func(t *testing.T) {
		dir, _, err := fetch(t, downloaderFor(target), binaryFile(stranger, content))
		expectRefused(t, dir, err, "serves no official releases")
	})
}
