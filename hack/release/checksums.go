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

// checksum is the SHA-256 of content in hexadecimal digits.
func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// fileChecksum is a file of the release with its digest.
type fileChecksum struct{ name, digest string }

// fileChecksums are those that are there, in the order of their names.
func (r *release) fileChecksums() ([]fileChecksum, error) {
	found, err := os.ReadDir(r.out)
	if err != nil {
		return nil, err
	}
	var all []fileChecksum
	for _, each := range found {
		if each.IsDir() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(r.out, each.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, fileChecksum{each.Name(), checksum(content)})
	}
	return all, nil
}

// makeChecksums makes the list of the digests of all files, and its signature.
func (r *release) makeChecksums(context.Context) error {
	all, err := r.fileChecksums()
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, each := range all {
		list.WriteString(each.digest + "  " + each.name + "\n")
	}
	if err := r.writeFile(checksumsFile, []byte(list.String())); err != nil {
		return err
	}
	return r.signChecksums([]byte(list.String()))
}
