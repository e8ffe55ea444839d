// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/test/ports"
)

// endpointProcess is the receiver as a process, and the way to steer it.
type endpointProcess struct {
	sink.ControlClient

	process *childprocess.Process
	port    string
}

// startEndpoint starts a receiver.
func (b *bench) startEndpoint(ctx context.Context, addresses int) (*endpointProcess, error) {
	webhooks, err := ports.FreeAddress()
	if err != nil {
		return nil, err
	}
	control, err := ports.FreeAddress()
	if err != nil {
		return nil, err
	}
	process, err := b.launch(roleReceiver, "--webhooks="+webhooks, "--control="+control, fmt.Sprintf("--addresses=%d", addresses))
	if err != nil {
		return nil, err
	}
	e := &endpointProcess{ControlClient: sink.ControlClient{Base: "http://" + control}, process: process, port: webhooks[strings.LastIndexByte(webhooks, ':'):]}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := process.WaitFor(ctx, roleReceiver, e.Ready); err != nil {
		process.Stop(0)
		return nil, err
	}
	return e, nil
}

// url is where POSTs of a class go; host "" is 127.0.0.1.
func (e *endpointProcess) url(host, class, name string) string {
	if host == "" {
		host = "127.0.0.1"
	}
	return "http://" + host + e.port + "/" + class + "/" + name
}
