// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// artefact is something other than an image that registries keep as one: a configuration, one layer, annotations.
type artefact struct {
	config, manifest []byte
	layer            v1.Layer
}

// RawConfigFile implements partial.CompressedImageCore.
func (a *artefact) RawConfigFile() ([]byte, error) { return a.config, nil }

// MediaType implements partial.CompressedImageCore.
func (a *artefact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// RawManifest implements partial.CompressedImageCore.
func (a *artefact) RawManifest() ([]byte, error) { return a.manifest, nil }

// LayerByDigest implements partial.CompressedImageCore.
func (a *artefact) LayerByDigest(wanted v1.Hash) (partial.CompressedLayer, error) {
	if own, err := a.layer.Digest(); err != nil || own == wanted {
		return a.layer, err
	}
	return nil, fmt.Errorf("no layer %s", wanted)
}

// artefactPart is the content of a configuration or layer.
type artefactPart struct {
	content     []byte
	mediaType   types.MediaType
	annotations map[string]string
}

func (p artefactPart) descriptor() (v1.Descriptor, error) {
	hash, size, err := v1.SHA256(bytes.NewReader(p.content))
	return v1.Descriptor{MediaType: p.mediaType, Digest: hash, Size: size, Annotations: p.annotations}, err
}

func newArtefact(config, layer artefactPart, annotations map[string]string) (v1.Image, error) {
	first, err := config.descriptor()
	if err != nil {
		return nil, err
	}
	second, err := layer.descriptor()
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: first, Layers: []v1.Descriptor{second}, Annotations: annotations,
	})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&artefact{config: config.content, manifest: manifest, layer: static.NewLayer(layer.content, layer.mediaType)})
}
