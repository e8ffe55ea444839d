// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// poll repeats done until it says so, fails, or readyWithin is over.
func poll(ctx context.Context, what string, done func() (bool, error)) error {
	return pollFor(ctx, readyWithin, what, done)
}

func pollFor(ctx context.Context, within time.Duration, what string, done func() (bool, error)) error {
	err := wait.PollUntilContextTimeout(ctx, pollEvery, within, true, func(context.Context) (bool, error) { return done() })
	if err != nil {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	return nil
}
