// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nameAnnotation is where a layout keeps the whole name of what is in it.
const nameAnnotation = "org.opencontainers.image.ref.name"

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

// part is the content of a configuration or layer.
type part struct {
	content     []byte
	mediaType   types.MediaType
	annotations map[string]string
}

func (p part) describe() (v1.Descriptor, error) {
	hash, size, err := v1.SHA256(bytes.NewReader(p.content))
	return v1.Descriptor{MediaType: p.mediaType, Digest: hash, Size: size, Annotations: p.annotations}, err
}

func newArtefact(config, layer part, annotations map[string]string) (v1.Image, error) {
	first, err := config.describe()
	if err != nil {
		return nil, err
	}
	second, err := layer.describe()
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

// named is an index or an image with the name that it has in a registry.
type named struct {
	name  string
	index v1.ImageIndex
	image v1.Image
}

func (n named) digest() (v1.Hash, error) {
	if n.index != nil {
		return n.index.Digest()
	}
	return n.image.Digest()
}

// push writes it into a registry.
func (n named) push(reference name.Reference, options []remote.Option) error {
	if n.index != nil {
		return remote.WriteIndex(reference, n.index, options...)
	}
	return remote.Write(reference, n.image, options...)
}

// packLayout packs an OCI layout of these into an archive, as every tool for images reads it.
func packLayout(work string, at time.Time, all ...named) ([]byte, error) {
	folder, err := os.MkdirTemp(work, "layout-")
	if err != nil {
		return nil, err
	}
	where, err := layout.Write(folder, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return nil, err
	}
	for _, each := range all {
		as := layout.WithAnnotations(map[string]string{nameAnnotation: each.name})
		if each.index != nil {
			err = where.AppendIndex(each.index, as)
		} else {
			err = where.AppendImage(each.image, as)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", each.name, err)
		}
	}
	entries, err := readFolder(folder)
	if err != nil {
		return nil, err
	}
	return packTar(withFolders(entries), at)
}

// unpackLayout unpacks what packLayout packs into a folder and reads what is in it.
func unpackLayout(archive, folder string) ([]named, error) {
	content, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if err := unpackTar(content, folder); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", filepath.Base(archive), err)
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var all []named
	for _, each := range manifest.Manifests {
		one := named{name: each.Annotations[nameAnnotation]}
		if each.MediaType.IsIndex() {
			one.index, err = index.ImageIndex(each.Digest)
		} else {
			one.image, err = index.Image(each.Digest)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// unpackTar unpacks an archive of our own into a folder.
func unpackTar(archive io.Reader, folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return eachEntry(archive, func(e entry) error {
		if err := root.MkdirAll(filepath.Dir(e.name), 0o755); err != nil {
			return err
		}
		return root.WriteFile(e.name, e.content, 0o644)
	})
}
