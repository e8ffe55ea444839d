// SPDX-License-Identifier: Apache-2.0

package release

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	good := File{Digest: strings.Repeat("0a", 32), Binaries: []string{"etcd"}, MaxSize: 1}
	if err := good.Validate(); err != nil {
		t.Errorf("a file with SHA-256: %v", err)
	}
	for _, tc := range []struct {
		name   string
		change func(*File)
		want   string
	}{
		{"without a digest", func(f *File) { f.Digest = "" }, "neither SHA-256 nor SHA-512"},
		{"with SHA-1", func(f *File) { f.Digest = strings.Repeat("0a", 20) }, "neither SHA-256 nor SHA-512"},
		{"with another text", func(f *File) { f.Digest = strings.Repeat("xy", 32) }, "invalid byte"},
		{"with capital letters", func(f *File) { f.Digest = strings.Repeat("0A", 32) }, "not in lower case"},
		{"without a bound", func(f *File) { f.MaxSize = 0 }, "no bound for the size"},
		{"without binaries", func(f *File) { f.Binaries = nil }, "no binaries"},
		{"with two binaries and no archive", func(f *File) { f.Binaries = []string{"a", "b"} }, "no archive"},
		{"of an archive without a bound", func(f *File) { f.Folder = "bin" }, "no bound for what comes"},
	} {
		t.Run("a file "+tc.name+" is refused", func(t *testing.T) {
			f := good
			tc.change(&f)
			if err := f.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
