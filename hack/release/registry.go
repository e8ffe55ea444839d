// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// push pushes the image, the chart and their signatures of a folder. They go to the registry that they are named
// after, or, under the same names, to another one. Nothing is pushed if one of the names is taken there.
func push(ctx context.Context, folder, instead string) error {
	archives, err := filepath.Glob(filepath.Join(folder, "*.oci.tar"))
	if err != nil {
		return err
	}
	if len(archives) == 0 {
		return fmt.Errorf("%s holds no *.oci.tar; make release makes them", folder)
	}
	// An image is there before the chart that names it.
	slices.SortStableFunc(archives, func(a, b string) int { return rank(a) - rank(b) })
	work, err := os.MkdirTemp("", "release-push-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	var all []named
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
	return pushAll(all, instead, options)
}

func rank(archive string) int {
	return slices.IndexFunc([]string{"-image.oci.tar", "-signatures.oci.tar", "-chart.oci.tar"}, func(ending string) bool {
		return strings.HasSuffix(archive, ending)
	})
}

// pushAll looks at all names first, so that a release is there as a whole or not at all, and then pushes.
func pushAll(all []named, instead string, options []remote.Option) error {
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
		if err := checkFree(each, references[i], options); err != nil {
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

// checkFree fails if the registry has something else under a name: what a tag of a release names never changes.
func checkFree(n named, reference name.Reference, options []remote.Option) error {
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

// serve is a registry in memory that holds what is in a folder, until ctx ends: for tests. It says so once all is there.
func serve(ctx context.Context, folder, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if err := push(ctx, folder, listener.Addr().String()); err != nil {
		return errors.Join(err, server.Close())
	}
	fmt.Println("release: serving on", listener.Addr())
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
