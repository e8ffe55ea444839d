// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"fmt"
	"io"
	"log/slog"
	"unique"
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

// NewSecret wraps a secret without checking it; see [Validate]. The empty
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
