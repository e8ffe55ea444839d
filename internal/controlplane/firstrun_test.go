// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/controlplane/release"
)

// packReal packs real binaries as releases do, without compressing, and returns the archive's digest.
func packReal(t *testing.T, archive, folder string, binaries ...string) (digest string) {
	t.Helper()
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.New()
	zipped, err := gzip.NewWriterLevel(io.MultiWriter(f, sum), gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	tarred := tar.NewWriter(zipped)
	for _, binary := range binaries {
		content, err := os.Open(binary)
		if err != nil {
			t.Fatal(err)
		}
		info, err := content.Stat()
		if err != nil {
			t.Fatal(err)
		}
		header := &tar.Header{Name: path.Join(folder, filepath.Base(binary)), Mode: 0o755, Size: info.Size()}
		if err := tarred.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(tarred, content); err != nil {
			t.Fatal(err)
		}
		content.Close()
	}
	if err := errors.Join(tarred.Close(), zipped.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// noBuild is a recipe that must not be needed.
type noBuild struct{ recipe }

func (noBuild) build(_ context.Context, _ string, names []string, _ func(string)) error {
	return fmt.Errorf("%q are to be built", names)
}

// The whole of a first run: real binaries, packed as releases are, come from a host, and a control plane starts from them.
func TestFirstRun(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 500 MB and starts a control plane")
	}
	have, err := Ensure(t.Context(), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	r, err := findRecipe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h, served := newReleaseHost(t), t.TempDir()
	from := h.origins(t, noBuild{r})
	h.answer = func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(served, r.URL.Path)) }
	from.releases[0].version, from.releases[1].version = r.kubernetes, r.etcd
	kubernetes, etcd := &from.releases[0].File, &from.releases[1].File
	etcd.URL, etcd.Folder = h.URL+"/etcd.tar.gz", "etcd-linux"
	for _, f := range []*release.File{kubernetes, etcd} {
		f.MaxSize, f.MaxUnpacked = 1<<30, 1<<30
	}
	kubernetes.Digest = packReal(t, filepath.Join(served, "server.tar.gz"), kubernetes.Folder, have.APIServer, have.ControllerManager)
	etcd.Digest = packReal(t, filepath.Join(served, "etcd.tar.gz"), etcd.Folder, have.Etcd)

	begin := time.Now()
	from.downloader.Patience = patience
	assets, spent, err := ensureAssetsIn(t.Context(), t.TempDir(), from, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	c := &ControlPlane{options: Options{UnsafeNoFsync: true}, assets: assets, spent: spent}
	var said lines
	c.options.Progress = said.add
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	err = c.start(ctx)
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	line := said.with(t, "first run of this control plane: download ")
	if !strings.Contains(line, "compile 0s, start ") {
		t.Errorf("said %q, want the split", line)
	}
	t.Log(line)
	if took := time.Since(begin); took > 2*time.Minute {
		t.Errorf("the first run took %s", took)
	}
}
