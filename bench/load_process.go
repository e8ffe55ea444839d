// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/load"
)

// loadProcess is a load under way.
type loadProcess struct {
	command *exec.Cmd
	out     bytes.Buffer
	errs    bytes.Buffer
	done    chan struct{}
	err     error
}

// startLoad begins to publish. The caller waits or stops.
func (b *bench) startLoad(ctx context.Context, spec load.Spec) (*loadProcess, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	p := &loadProcess{command: exec.CommandContext(ctx, b.self, roleLoad), done: make(chan struct{})} //nolint:gosec // this very program
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

func (p *loadProcess) pid() int { return p.command.Process.Pid }

// stop asks the load to end and returns what it was answered.
func (p *loadProcess) stop() (*load.Result, error) {
	_ = p.command.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	return p.wait()
}

// wait returns what the load was answered, once it has ended.
func (p *loadProcess) wait() (*load.Result, error) {
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

// publishLoad runs a load to its end.
func (b *bench) publishLoad(ctx context.Context, spec load.Spec) (*load.Result, error) {
	p, err := b.startLoad(ctx, spec)
	if err != nil {
		return nil, err
	}
	return p.wait()
}

// keepPublishing publishes at these rates until stop is called.
func (w *deployment) keepPublishing(ctx context.Context, specs ...load.Spec) (stop func(), err error) {
	var running []*loadProcess
	stop = func() {
		for _, p := range running {
			_, _ = p.stop() // nobody counts what it sent
		}
	}
	for _, one := range specs {
		spec := w.spec(one.Types...)
		spec.Rate, spec.Duration = one.Rate, time.Hour
		p, err := w.b.startLoad(ctx, spec)
		if err != nil {
			stop()
			return nil, err
		}
		running = append(running, p)
	}
	return stop, nil
}
