// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/forwarder"
	"bbmcp.quietstack.com/webhooks/bench/internal/load"
	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/test/ports"
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

// endpoint is the receiver as a process, and the way to steer it.
type endpoint struct {
	sink.Client

	process *childprocess.Process
	port    string
}

// startEndpoint starts a receiver.
func (b *bench) startEndpoint(ctx context.Context, addresses int) (*endpoint, error) {
	webhooks, err := ports.Free()
	if err != nil {
		return nil, err
	}
	control, err := ports.Free()
	if err != nil {
		return nil, err
	}
	process, err := b.launch(roleReceiver, "--webhooks="+webhooks, "--control="+control, fmt.Sprintf("--addresses=%d", addresses))
	if err != nil {
		return nil, err
	}
	e := &endpoint{Client: sink.Client{Base: "http://" + control}, process: process, port: webhooks[strings.LastIndexByte(webhooks, ':'):]}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := process.WaitFor(ctx, roleReceiver, e.Ready); err != nil {
		process.Stop(0)
		return nil, err
	}
	return e, nil
}

// url is where POSTs of a class go; host "" is 127.0.0.1.
func (e *endpoint) url(host, class, name string) string {
	if host == "" {
		host = "127.0.0.1"
	}
	return "http://" + host + e.port + "/" + class + "/" + name
}

// launch starts this program in another role.
func (b *bench) launch(role string, args ...string) (*childprocess.Process, error) {
	b.mu.Lock()
	b.serial++
	log := fmt.Sprintf("%s/%s-%d.log", b.dir, role, b.serial)
	b.mu.Unlock()
	return childprocess.Start(role, log, exec.Command(b.self, append([]string{role}, args...)...)) //nolint:gosec,noctx // this very program; it is stopped by its caller
}

// publishing is a load under way.
type publishing struct {
	command *exec.Cmd
	out     bytes.Buffer
	errs    bytes.Buffer
	done    chan struct{}
	err     error
}

// startLoad begins to publish. The caller waits or stops.
func (b *bench) startLoad(ctx context.Context, spec load.Spec) (*publishing, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	p := &publishing{command: exec.CommandContext(ctx, b.self, roleLoad), done: make(chan struct{})} //nolint:gosec // this very program
	p.command.Stdin, p.command.Stdout, p.command.Stderr = bytes.NewReader(text), &p.out, &p.errs
	p.command.Cancel = func() error { return p.command.Process.Signal(syscall.SIGTERM) }
	p.command.WaitDelay = time.Minute
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.command.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *publishing) pid() int { return p.command.Process.Pid }

// stop asks the load to end and returns what it was answered.
func (p *publishing) stop() (*load.Result, error) {
	_ = p.command.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	return p.wait()
}

// wait returns what the load was answered, once it has ended.
func (p *publishing) wait() (*load.Result, error) {
	<-p.done
	if p.err != nil {
		return nil, fmt.Errorf("load: %w: %s", p.err, p.errs.String())
	}
	var result load.Result
	if err := json.Unmarshal(p.out.Bytes(), &result); err != nil {
		return nil, errors.Join(fmt.Errorf("load: read its result: %w", err), p.err)
	}
	return &result, nil
}

// publish runs a load to its end.
func (b *bench) publish(ctx context.Context, spec load.Spec) (*load.Result, error) {
	p, err := b.startLoad(ctx, spec)
	if err != nil {
		return nil, err
	}
	return p.wait()
}
