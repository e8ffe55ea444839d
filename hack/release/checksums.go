// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// checksumsFile is what sha256sum --check reads, and what is signed for all files that it names.
const checksumsFile = "SHA256SUMS"

// digest is the SHA-256 of content in hexadecimal digits.
func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// file is a file of the release.
type file struct{ name, digest string }

// files are those that are there, in the order of their names.
func (r *release) files() ([]file, error) {
	found, err := os.ReadDir(r.out)
	if err != nil {
		return nil, err
	}
	var all []file
	for _, each := range found {
		if each.IsDir() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(r.out, each.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, file{each.Name(), digest(content)})
	}
	return all, nil
}

// makeChecksums makes the list of the digests of all files, and its signature.
func (r *release) makeChecksums(context.Context) error {
	all, err := r.files()
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, each := range all {
		list.WriteString(each.digest + "  " + each.name + "\n")
	}
	if err := r.write(checksumsFile, []byte(list.String())); err != nil {
		return err
	}
	return r.signChecksums([]byte(list.String()))
}
