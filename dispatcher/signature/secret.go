// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unique"
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

// Redacted is what a Secret prints as, in every form.
const Redacted = "REDACTED"

// Secret is a signing secret as its user holds it, "whsec_" included. It prints
// as REDACTED wherever it is formatted, marshalled or logged, also deep inside
// other values; [Secret.Reveal] is the only way out. The zero Secret is no
// secret. Two Secrets are equal (==) if their strings are.
type Secret struct {
	// A handle, because package fmt prints unexported fields without asking
	// their methods: of this one it can only show an address.
	handle unique.Handle[string]
}

// NewSecret wraps a secret without checking it; see [ValidateSecret]. The empty
// string gives the zero Secret.
func NewSecret(secret string) Secret {
	if secret == "" {
		return Secret{}
	}
	return Secret{handle: unique.Make(secret)}
}

// Reveal returns the secret itself.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.handle.Value()
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s == Secret{} }

// String returns REDACTED.
func (s Secret) String() string { return Redacted }

// GoString returns REDACTED.
func (s Secret) GoString() string { return Redacted }

// Format writes REDACTED for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// MarshalText returns REDACTED; JSON, YAML and XML encoders use it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalJSON returns "REDACTED".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalBinary returns REDACTED; gob uses it too.
func (s Secret) MarshalBinary() ([]byte, error) { return []byte(Redacted), nil }

// LogValue returns REDACTED.
func (s Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }

// ValidateSecret checks the grammar of a secret: 16 to 256 bytes, no white space at
// either end, and after whsec_ base64 of 24 to 64 bytes; and that it is not by
// mistake in quotes, encoded, or more than the secret. The error names the
// problem and the way out, never the secret or a part of it.
func ValidateSecret(secret string) error {
	_, err := parseSecret(secret)
	return err
}

// parseSecret checks a secret and returns the key that Standard Webhooks derives from
// it.
func parseSecret(secret string) ([]byte, error) {
	switch {
	case strings.TrimSpace(secret) != secret:
		return nil, errWhiteSpace
	case len(secret) < MinSecretBytes:
		return nil, errTooShort
	case len(secret) > MaxSecretBytes:
		return nil, errTooLong
	}
	if err := secretMistake(secret); err != nil {
		return nil, err
	}
	return standardSecretKey(secret)
}

// GenerateSecret makes a new secret: whsec_ and base64 of 32 bytes from random.
func GenerateSecret(random io.Reader) (Secret, error) {
	var key [generatedKeyBytes]byte
	if _, err := io.ReadFull(random, key[:]); err != nil {
		return Secret{}, fmt.Errorf("generate signing secret: %w", err)
	}
	return NewSecret(StandardPrefix + base64.StdEncoding.EncodeToString(key[:])), nil
}

// standardSecretKey returns the key that Standard Webhooks derives from a secret: the
// decoded part after whsec_, or the bytes of a secret without that prefix.
func standardSecretKey(secret string) ([]byte, error) {
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
