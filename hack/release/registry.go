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
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// push pushes the image, the chart and their signatures of a folder. They go to the registry that they are named
// after, or, under the same names, to another one.
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
	for _, archive := range archives {
		if err := pushArchive(ctx, archive, instead); err != nil {
			return err
		}
	}
	return nil
}

func rank(archive string) int {
	return slices.IndexFunc([]string{"-image.oci.tar", "-signatures.oci.tar", "-chart.oci.tar"}, func(ending string) bool {
		return strings.HasSuffix(archive, ending)
	})
}

func pushArchive(ctx context.Context, archive, instead string) error {
	work, err := os.MkdirTemp("", "release-push-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	all, err := unpackLayout(archive, work)
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	for _, each := range all {
		whole := each.name
		if instead != "" {
			_, rest, _ := strings.Cut(whole, "/")
			whole = instead + "/" + rest
		}
		reference, err := name.ParseReference(whole, name.StrictValidation)
		if err != nil {
			return err
		}
		if each.index != nil {
			err = remote.WriteIndex(reference, each.index, options...)
		} else {
			err = remote.Write(reference, each.image, options...)
		}
		if err != nil {
			return fmt.Errorf("push %s: %w", whole, err)
		}
		fmt.Println("release: pushed", whole)
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
