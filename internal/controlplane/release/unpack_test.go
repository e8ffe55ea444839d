// SPDX-License-Identifier: Apache-2.0

package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// entry is one entry of an archive.
type entry struct {
	name, content string
	kind          byte
}

// archive packs entries into a tar.gz.
func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	tarred := tar.NewWriter(zipped)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: 0o777, Typeflag: e.kind, Size: int64(len(e.content))}
		if e.kind == tar.TypeSymlink {
			header.Linkname, header.Size = "/bin/sh", 0
		}
		if err := tarred.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tarred, e.content[:header.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tarred.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// sparseArchive packs a file that is one hole of this size, which takes no bytes of the archive. The library reads such
// archives and writes none, so the names of the records are put in afterwards.
func sparseArchive(t *testing.T, name string, size int64) []byte {
	t.Helper()
	var unzipped, packed bytes.Buffer
	tarred := tar.NewWriter(&unzipped)
	records := map[string]string{
		"GNU_sparse.major": "0", "GNU_sparse.minor": "1", "GNU_sparse.numblocks": "0", "GNU_sparse.size": strconv.FormatInt(size, 10),
	}
	err := tarred.WriteHeader(&tar.Header{Name: name, Mode: 0o777, Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: records})
	if err := errors.Join(err, tarred.Close()); err != nil {
		t.Fatal(err)
	}
	zipped := gzip.NewWriter(&packed)
	_, err = zipped.Write(bytes.ReplaceAll(unzipped.Bytes(), []byte("GNU_sparse"), []byte("GNU.sparse")))
	if err := errors.Join(err, zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestFetchArchive(t *testing.T) {
	good := []entry{
		{"a/", "", tar.TypeDir}, {"a/README", "text", tar.TypeReg}, {"a/bin/etcd", "one", tar.TypeReg}, {"b/bin/etcdctl", "other", tar.TypeReg},
		{"a/bin/etcdctl", "two", tar.TypeReg}, {"a/bin/later", strings.Repeat("x", 300_000), tar.TypeReg},
	}

	t.Run("the binaries of an archive, and nothing else of it, are installed", func(t *testing.T) {
		packed := archive(t, good...)
		server := host(t, serve(packed))
		dir, size, err := fetch(t, downloaderFor(server), archiveFile(server, packed))
		if err != nil || size != int64(len(packed)) {
			t.Fatalf("got %d, %v", size, err)
		}
		expectBinary(t, dir, "etcd", "one")
		expectBinary(t, dir, "etcdctl", "two")
		if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
			t.Errorf("got %v, %v", left, err)
		}
	})

	t.Run("what follows the binaries counts for the digest", func(t *testing.T) {
		packed := archive(t, good...)
		changed := bytes.Clone(packed)
		changed[len(changed)-1]++
		server := host(t, serve(changed))
		dir, _, err := fetch(t, downloaderFor(server), archiveFile(server, packed))
		expectRefused(t, dir, err, "not the published file")
	})

	for _, tc := range []struct {
		name    string
		entries []entry
		want    string
	}{
		{"without one of the binaries", good[:4], "the archive has no a/bin/etcdctl"},
		{"that leads out of the folder", append([]entry{{"../x", "evil", tar.TypeReg}}, good...), `leads out of itself: "../x"`},
		{"with an absolute path", append([]entry{{"/x", "evil", tar.TypeReg}}, good...), `leads out of itself: "/x"`},
		{"in which a binary leads elsewhere", []entry{{"a/bin/etcd", "", tar.TypeSymlink}}, "a/bin/etcd is no file"},
		{"that is a bomb", append([]entry{{"a/zeros", strings.Repeat("\x00", 8<<20), tar.TypeReg}}, good...), "holds more than is allowed"},
		{"whose binary is a bomb", []entry{{"a/bin/etcd", strings.Repeat("\x00", 8<<20), tar.TypeReg}}, "holds more than is allowed"},
	} {
		t.Run("an archive "+tc.name+" is refused although its digest is right", func(t *testing.T) {
			packed := archive(t, tc.entries...)
			server := host(t, serve(packed))
			dir, _, err := fetch(t, downloaderFor(server), archiveFile(server, packed))
			expectRefused(t, dir, err, tc.want)
		})
	}

	t.Run("an archive whose binary is a hole is refused although its digest is right", func(t *testing.T) {
		packed := sparseArchive(t, "a/bin/etcd", 8<<20)
		server := host(t, serve(packed))
		f := archiveFile(server, packed)
		f.Binaries = f.Binaries[:1]
		dir, _, err := fetch(t, downloaderFor(server), f)
		expectRefused(t, dir, err, "holds more than is allowed")
	})

	t.Run("what is no archive", func(t *testing.T) {
		page := []byte("<html>sign in</html>")
		server := host(t, serve(page))
		dir, _, err := fetch(t, downloaderFor(server), archiveFile(server, page))
		expectRefused(t, dir, err, "unpack: gzip")
		dir, _, err = fetch(t, downloaderFor(server), archiveFile(server, archive(t, good...)))
		expectRefused(t, dir, err, "not the published file")
	})

	t.Run("a folder that cannot be written to ends the download", func(t *testing.T) {
		packed := archive(t, good...)
		server := host(t, serve(packed))
		_, err := downloaderFor(server).Fetch(t.Context(), archiveFile(server, packed), filepath.Join(t.TempDir(), "absent"))
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want that the folder is missing", err)
		}
	})
}
