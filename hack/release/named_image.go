// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// namedImage is an index or an image with the name that it has in a registry.
type namedImage struct {
	name  string
	index v1.ImageIndex
	image v1.Image
}

func (n namedImage) digest() (v1.Hash, error) {
	if n.index != nil {
		return n.index.Digest()
	}
	return n.image.Digest()
}

// push writes it into a registry.
func (n namedImage) push(reference name.Reference, options []remote.Option) error {
	if n.index != nil {
		return remote.WriteIndex(reference, n.index, options...)
	}
	return remote.Write(reference, n.image, options...)
}
