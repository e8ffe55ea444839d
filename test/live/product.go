// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// Namespace is where the tokens are from.
const Namespace = "default"

// Product is the running product.
type Product struct {
	// APIURL is the gateway's base URL.
	APIURL string
	// Key is a token of somebody who manages webhooks and publishes.
	Key string
	// Tokens are those of people with one role each, by role.
	Tokens map[string]string

	stack *stack.Stack
}

// variables are where a child process finds the tokens of one role.
var variables = map[string]string{ //nolint:gochecknoglobals // never changed
	"bbmcp-viewer":          "BBMCP_TEST_VIEWER",
	"bbmcp-delivery-viewer": "BBMCP_TEST_DELIVERY_VIEWER",
	"bbmcp-editor":          "BBMCP_TEST_EDITOR",
	"bbmcp-publisher":       "BBMCP_TEST_PUBLISHER",
}

// Options change what is started.
type Options struct {
	// GatewayArgs are more flags of the gateway.
	GatewayArgs []string
	// Progress is told what is being done.
	Progress func(string)
}

// Start starts control plane, manager and gateway, each with its dispatcher. The
// caller calls Stop.
func Start(ctx context.Context, options Options) (*Product, error) {
	s, err := stack.Start(ctx, stack.Options{Progress: options.Progress, ControlPlane: controlplane.Options{UnsafeNoFsync: true}})
	if err != nil {
		return nil, err
	}
	p := &Product{stack: s, Tokens: map[string]string{}}
	if err := p.start(ctx, options.GatewayArgs); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return p, nil
}

func (p *Product) start(ctx context.Context, gatewayArgs []string) error {
	if _, err := p.stack.StartManager(ctx, stack.ManagerOptions{Supervise: true}); err != nil {
		return err
	}
	gateway, err := p.stack.StartGateway(ctx, stack.GatewayOptions{Supervise: true, Args: gatewayArgs})
	if err != nil {
		return err
	}
	p.APIURL = gateway.URL
	for role := range variables {
		if p.Tokens[role], err = p.stack.Token(ctx, Namespace, "test-"+role, []string{role}); err != nil {
			return err
		}
	}
	p.Key, err = p.stack.Token(ctx, Namespace, "test-team", []string{"bbmcp-editor", "bbmcp-delivery-viewer", "bbmcp-publisher"})
	return err
}

// Environment is that of this process and what a client reads from it: BBMCP_API_URL,
// BBMCP_API_KEY, and BBMCP_TEST_… with the tokens of one role.
func (p *Product) Environment() []string {
	environment := append(os.Environ(), "BBMCP_API_URL="+p.APIURL, "BBMCP_API_KEY="+p.Key)
	for role, name := range variables {
		environment = append(environment, name+"="+p.Tokens[role])
	}
	return environment
}

// Kubeconfig is the path of an administrator's.
func (p *Product) Kubeconfig() string { return p.stack.ControlPlane.Kubeconfig() }

// Logs are the ends of what the product's processes wrote.
func (p *Product) Logs() string {
	paths, err := p.stack.Logs()
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, path := range paths {
		log, _ := os.ReadFile(path)
		fmt.Fprintf(&text, "--- %s\n%s\n", path, log[max(0, len(log)-4096):])
	}
	return text.String()
}

// Stop ends all of it.
func (p *Product) Stop() error { return p.stack.Stop() }
