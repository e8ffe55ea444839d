// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nameAnnotation is where a layout keeps the whole name of what is in it.
const nameAnnotation = "org.opencontainers.image.ref.name"

// packLayout packs an OCI layout of these into an archive, as every tool for images reads it.
func packLayout(work string, at time.Time, all ...namedImage) ([]byte, error) {
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
	entries, err := readEntries(folder)
	if err != nil {
		return nil, err
	}
	return packTar(addFolderEntries(entries), at)
}

// unpackLayout unpacks what packLayout packs into a folder and reads what is in it.
func unpackLayout(archive, folder string) ([]namedImage, error) {
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
	var all []namedImage
	for _, each := range manifest.Manifests {
		one := namedImage{name: each.Annotations[nameAnnotation]}
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

// writeLayout writes an archive of what belongs into a registry.
func (r *release) writeLayout(kind string, all ...namedImage) error {
	archive, err := packLayout(r.work, r.commit.time, all...)
	if err != nil {
		return err
	}
	return r.writeFile("bbmcp-webhooks-"+r.version+"-"+kind+".oci.tar", archive)
}
