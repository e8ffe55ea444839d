// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// stopOnSignals ends the context when the demo is to stop: at Ctrl-C, when it is terminated, and when its terminal closes,
// unless nohup says that this does not matter. From then on a reader of the output that ends, tee say, does not kill the
// demo before it has taken away what it made: writes fail instead.
func stopOnSignals(parent context.Context) (context.Context, context.CancelFunc) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signal.NotifyContext(parent, signals...)
}

// ignoreInterrupt makes Ctrl-C no failure.
func ignoreInterrupt(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // that is what was asked for
	}
	return err
}
