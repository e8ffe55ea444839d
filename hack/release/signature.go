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
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
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

// sign is the signature in base64, as cosign has it.
func (s *signer) sign(content []byte) (string, error) {
	signature, err := s.Sign(context.Background(), content)
	return base64.StdEncoding.EncodeToString(signature), err
}

// claim is what is signed for an image: "simple signing", by the names that the format gives.
type claim struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

// signImage is the signature of an image or a chart, under the name where cosign looks for it.
func (s *signer) signImage(repository string, hash v1.Hash) (named, error) {
	var c claim
	c.Critical.Identity.Reference, c.Critical.Image.Digest, c.Critical.Type = repository, hash.String(), "cosign container image signature"
	content, err := json.Marshal(c)
	if err != nil {
		return named{}, err
	}
	signature, err := s.sign(content)
	if err != nil {
		return named{}, err
	}
	config, err := json.Marshal(v1.ConfigFile{RootFS: v1.RootFS{
		Type: "layers", DiffIDs: []v1.Hash{{Algorithm: "sha256", Hex: digest(content)}},
	}})
	if err != nil {
		return named{}, err
	}
	image, err := newArtefact(part{content: config, mediaType: types.OCIConfigJSON}, part{
		content: content, mediaType: "application/vnd.dev.cosign.simplesigning.v1+json",
		annotations: map[string]string{"dev.cosignproject.cosign/signature": signature},
	}, nil)
	return named{name: repository + ":" + strings.ReplaceAll(hash.String(), ":", "-") + ".sig", image: image}, err
}

// makeSignatures signs image and chart for registries.
func (r *release) makeSignatures(context.Context) error {
	if r.signer == nil {
		return nil
	}
	image, err := r.signer.signImage(r.repository, r.imageDigest)
	if err != nil {
		return err
	}
	hash, err := r.chart.image.Digest()
	if err != nil {
		return err
	}
	chart, err := r.signer.signImage(r.chartRepository(), hash)
	if err != nil {
		return err
	}
	return r.writeLayout("signatures", image, chart)
}

// signChecksums signs the list of digests, and so every file.
func (r *release) signChecksums(list []byte) error {
	if r.signer == nil {
		fmt.Println("release: not signed, for there is no key (KEY=key.pem)")
		return nil
	}
	signature, err := r.signer.sign(list)
	if err != nil {
		return err
	}
	return r.write(checksumsFile+".sig", []byte(signature+"\n"))
}
