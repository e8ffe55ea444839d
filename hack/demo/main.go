// SPDX-License-Identifier: Apache-2.0

// Command demo shows the product at work on this machine: a real control plane,
// manager and gateway with their dispatchers, and a receiver that verifies
// signatures, each a process of its own; a Webhook is applied and events are
// published to it.
//
// With --once it stops everything when the deliveries have arrived; without, it
// stays up until Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

func main() {
	once := flag.Bool("once", false, "stop when the example deliveries have arrived")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *once); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func run(ctx context.Context, once bool) (err error) {
	started := time.Now()
	say := func(text string) { fmt.Printf("%6.1fs  %s\n", time.Since(started).Seconds(), text) }
	s, err := stack.Start(ctx, stack.Options{Progress: say, ControlPlane: controlplane.Options{UnsafeNoFsync: true}})
	if err != nil {
		return interrupted(ctx, err)
	}
	var summary string
	d := &demo{stack: s, say: say, forget: func() error { return nil }}
	defer func() {
		say("stopping everything")
		err = errors.Join(err, d.forget(), s.Stop())
		if err == nil && summary != "" {
			fmt.Println(summary)
		}
	}()
	if summary, err = d.deliver(ctx); err != nil || once {
		err = interrupted(ctx, err)
		if err != nil {
			d.showLogs()
		}
		return err
	}
	fmt.Println(summary)
	summary = ""
	d.invite()
	<-ctx.Done()
	return nil
}

// interrupted makes Ctrl-C no failure.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // that is what was asked for
	}
	return err
}
