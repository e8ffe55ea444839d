// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// archiveEntry is a file in an archive; a name that ends in a slash is a folder.
type archiveEntry struct {
	name    string
	mode    int64
	content []byte
}

// sortEntries orders entries by their names, folders before what is in them.
func sortEntries(entries []archiveEntry) []archiveEntry {
	return slices.SortedFunc(slices.Values(entries), func(a, b archiveEntry) int { return cmp.Compare(a.name, b.name) })
}

// addFolderEntries adds the folders that the entries are in.
func addFolderEntries(entries []archiveEntry) []archiveEntry {
	all := slices.Clone(entries)
	known := map[string]bool{}
	for _, e := range entries {
		for folder := path.Dir(e.name); folder != "." && !known[folder]; folder = path.Dir(folder) {
			known[folder] = true
			all = append(all, archiveEntry{name: folder + "/", mode: 0o755})
		}
	}
	return all
}

// packTar packs entries so that only they and the time decide the bytes: by name, owned by root.
func packTar(entries []archiveEntry, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range sortEntries(entries) {
		header := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), ModTime: at, Format: tar.FormatUSTAR, Typeflag: tar.TypeReg}
		if strings.HasSuffix(e.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// packGzip is gzip with a header that says neither name, time nor system.
func packGzip(content []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// packZip is packTar for Windows.
func packZip(entries []archiveEntry, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range sortEntries(entries) {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at}
		header.SetMode(fs.FileMode(e.mode))
		file, err := w.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := file.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// readEntries reads the files in a folder and below it.
func readEntries(folder string) ([]archiveEntry, error) {
	var all []archiveEntry
	err := filepath.WalkDir(folder, func(name string, found fs.DirEntry, err error) error {
		if err != nil || found.IsDir() {
			return err
		}
		content, err := os.ReadFile(name) //nolint:gosec // the folder is this program's own
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(folder, name)
		all = append(all, archiveEntry{filepath.ToSlash(relative), 0o644, content})
		return err
	})
	return all, err
}

// packTarGzip is packTar, compressed.
func packTarGzip(entries []archiveEntry, at time.Time) ([]byte, error) {
	content, err := packTar(entries, at)
	if err != nil {
		return nil, err
	}
	return packGzip(content)
}

// forEachEntry calls do with each file of an archive.
func forEachEntry(archive io.Reader, do func(archiveEntry) error) error {
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return err
		}
		if err := do(archiveEntry{header.Name, header.Mode, content}); err != nil {
			return err
		}
	}
}

// unpackTar unpacks an archive of our own into a folder.
func unpackTar(archive io.Reader, folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return forEachEntry(archive, func(e archiveEntry) error {
		if err := root.MkdirAll(filepath.Dir(e.name), 0o755); err != nil {
			return err
		}
		return root.WriteFile(e.name, e.content, 0o644)
	})
}
