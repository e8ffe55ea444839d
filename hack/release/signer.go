// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// signer signs with a key of a file: ECDSA P-256 over SHA-256, as openssl and cosign verify it. Equal content has equal
// signatures (RFC 6979). It implements dsse.Signer.
type signer struct{ key *ecdsa.PrivateKey }

// readSigner reads a private key as openssl genpkey and openssl ecparam write it. A file that other users may read is
// refused: its key may have signed elsewhere, too.
func readSigner(file string) (*signer, error) {
	found, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	// Windows has no such modes.
	if mode := found.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("key: others may read %s, whose mode is %#o (chmod 600 takes that away)", file, mode)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, fmt.Errorf("key: %s holds no private key in PEM that is not encrypted", file)
		}
		switch block.Type {
		case "EC PRIVATE KEY":
			key, err := x509.ParseECPrivateKey(block.Bytes)
			return newSigner(key, err)
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			return newSigner(key, err)
		}
	}
}

func newSigner(key any, err error) (*signer, error) {
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if own, ok := key.(*ecdsa.PrivateKey); ok && own.Curve == elliptic.P256() {
		return &signer{own}, nil
	}
	return nil, errors.New("key: it is none of ECDSA P-256")
}

// Sign implements dsse.Signer: the signature in ASN.1.
func (s *signer) Sign(_ context.Context, content []byte) ([]byte, error) {
	sum := sha256.Sum256(content)
	return s.key.Sign(nil, sum[:], crypto.SHA256)
}

// KeyID implements dsse.Signer.
func (s *signer) KeyID() (string, error) { return dsse.SHA256KeyID(s.key.Public()) }

// signBase64 is the signature in base64, as cosign has it.
func (s *signer) signBase64(content []byte) (string, error) {
	signature, err := s.Sign(context.Background(), content)
	return base64.StdEncoding.EncodeToString(signature), err
}
