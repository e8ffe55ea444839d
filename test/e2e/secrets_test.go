// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// token is what a ServiceAccount token looks like: a signed JSON Web Token.
var token = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)

// tokensOf finds ServiceAccount tokens in everything that a process can read:
// its files, through its own root, and its environment.
func tokensOf(pid int) (found []string, files int, err error) {
	root := fmt.Sprintf("/proc/%d/root", pid)
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil, 0, err
	}
	if token.Match(environment) {
		found = append(found, "environment")
	}
	// Behind the link: WalkDir does not follow its own root.
	err = filepath.WalkDir(root+"/", func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		switch path {
		case filepath.Join(root, "proc"), filepath.Join(root, "sys"), filepath.Join(root, "dev"):
			return filepath.SkipDir
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		if token.Match(content) {
			found = append(found, path[len(root):])
		}
		return nil
	})
	return found, files, err
}
