// SPDX-License-Identifier: Apache-2.0

package release

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// File is one file of a release: a binary, or a tar.gz that holds binaries.
type File struct {
	// URL is where the file is, on one of the hosts of the [Downloader].
	URL string
	// Digest is what the release publishes of the file: SHA-256 or SHA-512, in lower-case hexadecimal.
	Digest string
	// Binaries are the names of the binaries that it gives.
	Binaries []string
	// Folder is the folder of an archive that holds them. Empty: the file is the one binary itself.
	Folder string
	// MaxSize bounds the bytes of the file, MaxUnpacked those that come of unpacking it.
	MaxSize, MaxUnpacked int64
}

// hash returns what computes the digest, and its name.
func (f File) hash() (h hash.Hash, name string, err error) {
	if _, err := hex.DecodeString(f.Digest); err != nil {
		return nil, "", fmt.Errorf("digest %q: %w", f.Digest, err)
	}
	if f.Digest != strings.ToLower(f.Digest) {
		return nil, "", fmt.Errorf("digest %q is not in lower case", f.Digest)
	}
	switch len(f.Digest) {
	case hex.EncodedLen(sha256.Size):
		return sha256.New(), "SHA-256", nil
	case hex.EncodedLen(sha512.Size):
		return sha512.New(), "SHA-512", nil
	}
	return nil, "", fmt.Errorf("digest %q is neither SHA-256 nor SHA-512", f.Digest)
}

// Validate says what is wrong with f, so that a table of files can be tested without a network.
func (f File) Validate() error {
	if _, _, err := f.hash(); err != nil {
		return err
	}
	if f.MaxSize <= 0 {
		return errors.New("no bound for the size")
	}
	if len(f.Binaries) == 0 {
		return errors.New("no binaries")
	}
	if f.Folder == "" && len(f.Binaries) > 1 {
		return errors.New("several binaries and no archive")
	}
	if f.Folder != "" && f.MaxUnpacked <= 0 {
		return errors.New("no bound for what comes of unpacking")
	}
	return nil
}
