// SPDX-License-Identifier: Apache-2.0

package release

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// unpack writes the binaries of the file to staging and stops reading when it has them.
func (f File) unpack(content io.Reader, staged *staging) error {
	if f.Folder == "" {
		return staged.write(f.Binaries[0], content)
	}
	unzipped, err := gzip.NewReader(content)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	archive := tar.NewReader(&boundedReader{from: unzipped, left: f.MaxUnpacked})
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

// boundedReader reads at most so many bytes, and then fails: io.LimitReader would feign an end.
type boundedReader struct {
	from io.Reader
	left int64
}

func (b *boundedReader) Read(to []byte) (int, error) {
	if b.left <= 0 {
		return 0, errUnbounded
	}
	n, err := b.from.Read(to[:min(int64(len(to)), b.left)])
	b.left -= int64(n)
	return n, err
}
