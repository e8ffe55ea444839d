// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// pushFolder pushes the image, the chart and their signatures of a folder. They go to the registry that they are named
// after, or, under the same names, to another one. Nothing is pushed if one of the names is taken there.
func pushFolder(ctx context.Context, folder, instead string) error {
	archives, err := filepath.Glob(filepath.Join(folder, "*.oci.tar"))
	if err != nil {
		return err
	}
	if len(archives) == 0 {
		return fmt.Errorf("%s holds no *.oci.tar; make release makes them", folder)
	}
	// An image is there before the chart that names it.
	slices.SortStableFunc(archives, func(a, b string) int { return pushRank(a) - pushRank(b) })
	work, err := os.MkdirTemp("", "release-push-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	var all []namedImage
	for i, archive := range archives {
		folder := filepath.Join(work, strconv.Itoa(i))
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
		some, err := unpackLayout(archive, folder)
		if err != nil {
			return err
		}
		all = append(all, some...)
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	return pushAllImages(all, instead, options)
}

func pushRank(archive string) int {
	return slices.IndexFunc([]string{"-image.oci.tar", "-signatures.oci.tar", "-chart.oci.tar"}, func(ending string) bool {
		return strings.HasSuffix(archive, ending)
	})
}

// pushAllImages looks at all names first, so that a release is there as a whole or not at all, and then pushes.
func pushAllImages(all []namedImage, instead string, options []remote.Option) error {
	references := make([]name.Reference, len(all))
	for i, each := range all {
		whole := each.name
		if instead != "" {
			_, rest, _ := strings.Cut(whole, "/")
			whole = instead + "/" + rest
		}
		var err error
		if references[i], err = name.ParseReference(whole, name.StrictValidation); err != nil {
			return err
		}
		if err := checkPushNameFree(each, references[i], options); err != nil {
			return err
		}
	}
	for i, each := range all {
		if err := each.push(references[i], options); err != nil {
			return fmt.Errorf("push %s: %w", references[i], err)
		}
		fmt.Println("release: pushed", references[i])
	}
	return nil
}

// checkPushNameFree fails if the registry has something else under a name: what a tag of a release names never changes.
func checkPushNameFree(n namedImage, reference name.Reference, options []remote.Option) error {
	found, err := remote.Get(reference, options...)
	if failed, ok := errors.AsType[*transport.Error](err); ok && failed.StatusCode == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for %s: %w", reference, err)
	}
	own, err := n.digest()
	if err != nil {
		return err
	}
	if found.Digest != own {
		return fmt.Errorf("the registry has another %s, %s instead of %s", reference, found.Digest, own)
	}
	return nil
}
