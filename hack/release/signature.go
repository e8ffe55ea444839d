// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// signedClaim is what is signed for an image: "simple signing", by the names that the format gives.
type signedClaim struct {
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
func signImage(s *signer, repository string, hash v1.Hash) (namedImage, error) {
	var c signedClaim
	c.Critical.Identity.Reference, c.Critical.Image.Digest, c.Critical.Type = repository, hash.String(), "cosign container image signature"
	content, err := json.Marshal(c)
	if err != nil {
		return namedImage{}, err
	}
	signature, err := s.signBase64(content)
	if err != nil {
		return namedImage{}, err
	}
	config, err := json.Marshal(v1.ConfigFile{RootFS: v1.RootFS{
		Type: "layers", DiffIDs: []v1.Hash{{Algorithm: "sha256", Hex: checksum(content)}},
	}})
	if err != nil {
		return namedImage{}, err
	}
	image, err := newArtefact(artefactPart{content: config, mediaType: types.OCIConfigJSON}, artefactPart{
		content: content, mediaType: "application/vnd.dev.cosign.simplesigning.v1+json",
		annotations: map[string]string{"dev.cosignproject.cosign/signature": signature},
	}, nil)
	return namedImage{name: repository + ":" + strings.ReplaceAll(hash.String(), ":", "-") + ".sig", image: image}, err
}

// makeSignatures signs image and chart for registries.
func (r *release) makeSignatures(context.Context) error {
	if r.signer == nil {
		return nil
	}
	image, err := signImage(r.signer, r.repository, r.imageDigest)
	if err != nil {
		return err
	}
	hash, err := r.chart.image.Digest()
	if err != nil {
		return err
	}
	chart, err := signImage(r.signer, r.chartRepository(), hash)
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
	signature, err := r.signer.signBase64(list)
	if err != nil {
		return err
	}
	return r.writeFile(checksumsFile+".sig", []byte(signature+"\n"))
}
