// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of a secret, in bytes.
const (
	MinSecretBytes = 16
	MaxSecretBytes = 256

	// StandardPrefix marks a Standard Webhooks secret: base64 of the key follows.
	StandardPrefix = "whsec_"

	minKeyBytes       = 24
	maxKeyBytes       = 64
	generatedKeyBytes = 32
)

var (
	errTooShort   = errors.New("the secret is shorter than 16 bytes: use 16 to 256 bytes, or let one be generated")
	errTooLong    = errors.New("the secret is longer than 256 bytes: use 16 to 256 bytes, or let one be generated")
	errWhiteSpace = errors.New("the secret begins or ends with white space, often a line break from a file: remove it (printf '%s', not echo)")
	errNotBase64  = errors.New("the secret begins with whsec_ but what follows is not standard base64 with padding: copy it whole, or choose a secret without that prefix")
	errKeySize    = errors.New("the secret begins with whsec_ but what follows is not base64 of 24 to 64 bytes: use a key of that size, or choose a secret without that prefix")
)

// Validate checks the grammar of a secret: 16 to 256 bytes, no white space at
// either end, and after whsec_ base64 of 24 to 64 bytes; and that it is not by
// mistake in quotes, encoded, or more than the secret. The error names the
// problem and the way out, never the secret or a part of it.
func Validate(secret string) error {
	_, err := parse(secret)
	return err
}

// parse checks a secret and returns the key that Standard Webhooks derives from
// it.
func parse(secret string) ([]byte, error) {
	switch {
	case strings.TrimSpace(secret) != secret:
		return nil, errWhiteSpace
	case len(secret) < MinSecretBytes:
		return nil, errTooShort
	case len(secret) > MaxSecretBytes:
		return nil, errTooLong
	}
	if err := mistake(secret); err != nil {
		return nil, err
	}
	return standardKey(secret)
}

// Generate makes a new secret: whsec_ and base64 of 32 bytes from random.
func Generate(random io.Reader) (Secret, error) {
	var key [generatedKeyBytes]byte
	if _, err := io.ReadFull(random, key[:]); err != nil {
		return Secret{}, fmt.Errorf("generate signing secret: %w", err)
	}
	return NewSecret(StandardPrefix + base64.StdEncoding.EncodeToString(key[:])), nil
}

// standardKey returns the key that Standard Webhooks derives from a secret: the
// decoded part after whsec_, or the bytes of a secret without that prefix.
func standardKey(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, StandardPrefix)
	if !ok {
		return []byte(secret), nil
	}
	// The decoder skips line breaks; other languages' do not.
	if strings.ContainsAny(encoded, "\r\n") {
		return nil, errNotBase64
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errNotBase64 // err says where, and with that a part of the secret
	}
	if len(key) < minKeyBytes || len(key) > maxKeyBytes {
		return nil, errKeySize
	}
	return key, nil
}
