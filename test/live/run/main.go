// SPDX-License-Identifier: Apache-2.0

// Command run starts the product and runs a command against it, which finds the
// gateway's address and tokens in its environment (see package test/live). It
// ends as the command does; when that fails, the logs are printed.
//
//	go run ./test/live/run -- env
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/test/live"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command := os.Args[1:]
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if err := runAgainstProduct(ctx, command); err != nil {
		fmt.Fprintln(os.Stderr, "live:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func runAgainstProduct(ctx context.Context, command []string) (err error) {
	if len(command) == 0 {
		return errors.New("give the command to run")
	}
	product, err := live.Start(ctx, live.Options{Progress: func(text string) { fmt.Fprintln(os.Stderr, "live:", text) }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, product.Stop()) }()
	child := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the caller's own command
	child.Env = product.Environment()
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.WaitDelay = 5 * time.Second
	if err := child.Run(); err != nil {
		fmt.Fprintln(os.Stderr, product.Logs())
		return fmt.Errorf("%s: %w", command[0], err)
	}
	return nil
}
