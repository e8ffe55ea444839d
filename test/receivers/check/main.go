// SPDX-License-Identifier: Apache-2.0

// Command check starts an example receiver and checks it. Its last line counts.
//
//	go run ./test/receivers/check -name node -folder examples/receivers/node -- node receiver.js
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"bbmcp.quietstack.com/webhooks/test/receivers"
)

func main() {
	name := flag.String("name", "receiver", "what the last line calls the receiver")
	folder := flag.String("folder", ".", "where to start it")
	events := flag.Int("events", 0, "how many events of random content to publish to it through the running product")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := checkExampleReceiver(ctx, *name, *folder, *events, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func checkExampleReceiver(ctx context.Context, name, folder string, events int, command []string) error {
	if len(command) == 0 {
		return errors.New("give the command that starts the receiver")
	}
	receiver, err := receivers.Start(ctx, folder, command...)
	if err != nil {
		return err
	}
	defer receiver.Stop()
	passed, failed := 0, 0
	results := receivers.Check(ctx, receiver)
	if events > 0 {
		progress := func(text string) { fmt.Fprintln(os.Stderr, "check:", text) }
		results = append(results, receivers.Result{
			Name: fmt.Sprintf("%d events of random content arrive", events),
			Err:  receivers.CheckLive(ctx, receiver, events, progress),
		})
	}
	for _, result := range results {
		if result.Err == nil {
			passed++
			continue
		}
		failed++
		fmt.Printf("FAIL %s: %v\n", result.Name, result.Err)
	}
	fmt.Printf("%s receiver: %d passed, %d failed\n", name, passed, failed)
	if failed > 0 {
		return errors.New("the receiver does not do what it must")
	}
	return nil
}
