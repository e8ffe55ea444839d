// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"bbmcp.quietstack.com/webhooks/bench/internal/forwarder"
	"bbmcp.quietstack.com/webhooks/bench/internal/load"
	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
	"bbmcp.quietstack.com/webhooks/internal/childprocess"
)

// Roles that this program takes in processes of their own.
const (
	roleLoad      = "load"
	roleReceiver  = "receiver"
	roleForwarder = "forwarder"
)

// forwarderKey is as long as the secrets that the product makes.
const forwarderKey = "0123456789abcdef0123456789abcdef"

// runLoad reads a load.Spec and prints a load.Result.
func runLoad(ctx context.Context) error {
	var spec load.Spec
	if err := json.NewDecoder(os.Stdin).Decode(&spec); err != nil {
		return fmt.Errorf("read what to publish: %w", err)
	}
	result, err := load.Run(ctx, spec)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func runReceiver(ctx context.Context, args []string) error {
	var options sink.Options
	flags := flag.NewFlagSet(roleReceiver, flag.ContinueOnError)
	flags.StringVar(&options.Hooks, "webhooks", "", "address of the endpoints")
	flags.StringVar(&options.Control, "control", "", "address of the control API")
	flags.IntVar(&options.Addresses, "addresses", 0, "further endpoints at 127.1.0.1 and so on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return sink.New().Run(ctx, options)
}

func runForwarder(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(roleForwarder, flag.ContinueOnError)
	address := flags.String("address", "", "address to listen on")
	targets := flags.String("targets", "", "URLs to POST to, separated by commas")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return forwarder.New([]byte(forwarderKey), strings.Split(*targets, ",")...).Run(ctx, *address)
}

// launch starts this program in another role.
func (b *bench) launch(role string, args ...string) (*childprocess.Process, error) {
	b.mu.Lock()
	b.serial++
	log := fmt.Sprintf("%s/%s-%d.log", b.dir, role, b.serial)
	b.mu.Unlock()
	return childprocess.Start(role, log, exec.Command(b.self, append([]string{role}, args...)...)) //nolint:gosec,noctx // this very program; it is stopped by its caller
}
