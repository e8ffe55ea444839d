// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// inParallel calls do for 0 … n-1, several at a time, and returns the first error.
func inParallel(n int, do func(int) error) error { return inParallelBy(writers, n, do) }

func inParallelBy(width, n int, do func(int) error) error {
	group, failed := errgroup.WithContext(context.Background())
	group.SetLimit(width)
	for i := 0; i < n && failed.Err() == nil; i++ {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}
