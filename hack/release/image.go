// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// imageBuilder builds the image: the programs, certificate authorities and the licence in one layer. There is no base
// image, no shell and no package manager, nothing but what runs.
type imageBuilder struct {
	programBuilder
	commit  commit
	license []byte
}

// buildIndex builds an index of an image for each platform, and returns the programs that are in them.
func (b imageBuilder) buildIndex(ctx context.Context, targets platforms) (v1.ImageIndex, []builtProgram, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var programs []builtProgram
	for _, target := range targets {
		var built []builtProgram
		for _, p := range imagePrograms() {
			one, err := b.programBuilder.build(ctx, p, target)
			if err != nil {
				return nil, nil, err
			}
			built = append(built, one)
		}
		image, err := b.platformImage(target, built)
		if err != nil {
			return nil, nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: target.os, Architecture: target.arch}},
		})
		programs = append(programs, built...)
	}
	annotated, ok := mutate.Annotations(index, b.imageLabels()).(v1.ImageIndex)
	if !ok {
		return nil, nil, errors.New("annotations make something else of an index")
	}
	return annotated, programs, nil
}

// imageLabels say what the image is.
func (b imageBuilder) imageLabels() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       "BB-MCP Webhooks",
		prefix + "description": "Outbound webhooks for Kubernetes: manager, gateway and dispatcher",
		prefix + "licenses":    "Apache-2.0",
		prefix + "vendor":      "BB-MCP Webhooks",
		prefix + "version":     b.version,
		prefix + "revision":    b.commit.id,
		prefix + "created":     b.commit.time.Format(time.RFC3339),
	}
}

// platformImage is the image for one platform.
func (b imageBuilder) platformImage(target platform, programs []builtProgram) (v1.Image, error) {
	authorities, err := imageAuthorities()
	if err != nil {
		return nil, err
	}
	entries := []archiveEntry{{"LICENSE", 0o644, b.license}, {"etc/ssl/certs/ca-certificates.crt", 0o644, authorities}}
	for _, p := range programs {
		entries = append(entries, archiveEntry{p.fileName(), 0o755, p.content})
	}
	content, err := packTarGzip(addFolderEntries(entries), b.commit.time)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: b.commit.time}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: target.os, Architecture: target.arch, Created: created,
		Config: v1.Config{User: "65532:65532", Entrypoint: []string{"/" + programs[0].name}, WorkingDir: "/", Labels: b.imageLabels()},
	})
	if err != nil {
		return nil, err
	}
	image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "hack/release"}})
}

// imageAuthorities are those of Mozilla's list in PEM, as the Go project publishes them. Some vouch only for what
// was issued before a date. A PEM file cannot say so; what they issued later is trusted by the image all the same.
func imageAuthorities() ([]byte, error) {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// makeImage makes an index of the image for each platform that it can have.
func (r *release) makeImage(ctx context.Context) error {
	targets, err := r.platforms.linux()
	if err != nil {
		return err
	}
	index, programs, err := imageBuilder{r.newProgramBuilder(), r.commit, r.license}.buildIndex(ctx, targets)
	if err != nil {
		return err
	}
	r.programs = append(r.programs, programs...)
	r.image = namedImage{name: r.repository + ":" + r.version, index: index}
	if r.imageDigest, err = index.Digest(); err != nil {
		return err
	}
	return r.writeLayout("image", r.image)
}
