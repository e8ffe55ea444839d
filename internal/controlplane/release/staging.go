// SPDX-License-Identifier: Apache-2.0

package release

import (
	"errors"
	"io"
	"os"
	"path/filepath"
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
