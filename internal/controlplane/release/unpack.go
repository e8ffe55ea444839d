// SPDX-License-Identifier: Apache-2.0

package release

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// staging holds binaries whose digest is not known yet: nobody may execute them, and they do not bear their names.
type staging struct {
	dir   string
	names []string
}

func newStaging(dir string, names []string) *staging { return &staging{dir: dir, names: names} }

func (s *staging) path(name string) string { return filepath.Join(s.dir, name+".unchecked") }

// write takes one binary, which may not be there already.
func (s *staging) write(name string, content io.Reader) error {
	f, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// install gives the binaries their names and makes them executable: all of them or none.
func (s *staging) install() (err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, name := range s.names {
			_ = os.Remove(filepath.Join(s.dir, name))
		}
	}()
	for _, name := range s.names {
		if err := os.Chmod(s.path(name), 0o755); err != nil {
			return err
		}
		if err := os.Rename(s.path(name), filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// discard removes what was not installed.
func (s *staging) discard() {
	for _, name := range s.names {
		_ = os.Remove(s.path(name))
	}
}

// unpack writes the binaries of the file to staging and stops reading when it has them.
func (f File) unpack(content io.Reader, staged *staging) error {
	if f.Folder == "" {
		return staged.write(f.Binaries[0], content)
	}
	unzipped, err := gzip.NewReader(content)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	archive := tar.NewReader(&bounded{from: unzipped, left: f.MaxUnpacked})
	missing, left := slices.Clone(f.Binaries), f.MaxUnpacked
	for len(missing) > 0 {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("unpack: the archive has no %s", path.Join(f.Folder, missing[0]))
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("unpack: the archive leads out of itself: %q", header.Name)
		}
		folder, name := path.Split(header.Name)
		i := slices.Index(missing, name)
		if strings.TrimSuffix(folder, "/") != f.Folder || i < 0 {
			continue
		}
		if header.Typeflag != tar.TypeReg {
			return fmt.Errorf("unpack: %s is no file", header.Name)
		}
		if left -= header.Size; left < 0 { // the holes of a sparse file come out of nothing
			return fmt.Errorf("unpack %s: %w", name, errUnbounded)
		}
		if err := staged.write(name, archive); err != nil {
			return fmt.Errorf("unpack %s: %w", name, err)
		}
		missing = slices.Delete(missing, i, i+1)
	}
	return nil
}

var errUnbounded = errors.New("it holds more than is allowed")

// bounded reads at most so many bytes, and then fails: io.LimitReader would feign an end.
type bounded struct {
	from io.Reader
	left int64
}

func (b *bounded) Read(to []byte) (int, error) {
	if b.left <= 0 {
		return 0, errUnbounded
	}
	n, err := b.from.Read(to[:min(int64(len(to)), b.left)])
	b.left -= int64(n)
	return n, err
}
