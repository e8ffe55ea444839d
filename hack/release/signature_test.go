// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// writeKey writes a key as openssl does and returns the name of the file.
func writeKey(t *testing.T, kind string, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// must fails the test with an error and returns the value.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestSignaturesVerifyAndAreEqualForEqualContent(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	for kind, content := range map[string][]byte{
		"EC PRIVATE KEY": must(x509.MarshalECPrivateKey(key))(t),
		"PRIVATE KEY":    must(x509.MarshalPKCS8PrivateKey(key))(t),
	} {
		s := must(readSigner(writeKey(t, kind, content)))(t)
		text := []byte("a list of digests")
		first, second := must(s.Sign(t.Context(), text))(t), must(s.Sign(t.Context(), text))(t)
		if !bytes.Equal(first, second) {
			t.Errorf("%s: two signatures of one text differ", kind)
		}
		if sum := sha256.Sum256(text); !ecdsa.VerifyASN1(&key.PublicKey, sum[:], first) {
			t.Errorf("%s: the signature does not verify", kind)
		}
	}
}

func TestOtherKeysAreRefused(t *testing.T) {
	large := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	other := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	for name, file := range map[string]string{
		"P-384":     writeKey(t, "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(large))(t)),
		"RSA":       writeKey(t, "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(other))(t)),
		"public":    writeKey(t, "PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&large.PublicKey))(t)),
		"encrypted": writeKey(t, "ENCRYPTED PRIVATE KEY", []byte("…")),
		"no file":   filepath.Join(t.TempDir(), "none.pem"),
	} {
		if _, err := readSigner(file); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestKeysThatOthersMayReadAreRefused(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	file := writeKey(t, "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))(t))
	for mode, good := range map[os.FileMode]bool{0o400: true, 0o600: true, 0o640: false, 0o604: false, 0o660: false, 0o644: false} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := readSigner(file); (err == nil) != good {
			t.Errorf("a key of mode %#o is taken: %t, want %t (%v)", mode, !good, good, err)
		}
	}
}
