// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/hack/demo/current"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// place is where the product runs.
type place interface {
	// start brings product and receiver up.
	start(ctx context.Context) (installation, error)
	// explain prints what may tell why something did not happen.
	explain(ctx context.Context)
	// stop takes away what start made.
	stop() error
}

// installation is how a person reaches the product and the receiver.
type installation struct {
	client     client.Client
	config     *rest.Config
	kubeconfig string
	// namespace is where webhooks and deliveries are.
	namespace string
	// gateway is the URL of the REST API, token one for it.
	gateway, token string
	// receiver is the URL of the receiver as it is reached from here, endpoint as the dispatchers reach it.
	receiver, endpoint string
	// logs says where logs are.
	logs string
}

// localPlace is a control plane of our own, and the product in processes.
type localPlace struct {
	say   func(string)
	stack *stack.Stack
}

func (p *localPlace) start(ctx context.Context) (installation, error) {
	s, err := stack.Start(ctx, stack.Options{Progress: p.say, ControlPlane: controlplane.Options{UnsafeNoFsync: true}})
	if err != nil {
		return installation{}, err
	}
	p.stack = s
	if _, err := s.StartManager(ctx, stack.ManagerOptions{Supervise: true}); err != nil {
		return installation{}, err
	}
	gateway, err := s.StartGateway(ctx, stack.GatewayOptions{Supervise: true})
	if err != nil {
		return installation{}, err
	}
	p.say("manager and gateway are ready, each with its dispatcher, each a process of its own")
	const namespace = "default"
	token, err := s.Token(ctx, namespace, "demo", demoRoles)
	if err != nil {
		return installation{}, err
	}
	receiver, err := s.StartReceiver(ctx)
	return installation{
		client: s.Client, config: s.ControlPlane.AdminConfig(), kubeconfig: s.ControlPlane.Kubeconfig(), namespace: namespace,
		gateway: gateway.URL, token: token, receiver: receiver, endpoint: receiver, logs: "Logs: " + s.Dir,
	}, err
}

// explain prints the end of every log.
func (p *localPlace) explain(context.Context) {
	if p.stack == nil {
		return
	}
	logs, err := p.stack.Logs()
	if err != nil {
		return
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Printf("\n--- %s\n%s\n", log, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}

func (p *localPlace) stop() error {
	if p.stack == nil {
		return nil
	}
	return p.stack.Stop()
}

// clusterPlace is the cluster of the kubeconfig.
type clusterPlace struct {
	options current.Options
	cluster *current.DemoCluster
}

func (p *clusterPlace) start(ctx context.Context) (installation, error) {
	var err error
	if p.cluster, err = current.Start(ctx, p.options); err != nil {
		return installation{}, err
	}
	c := p.cluster
	return installation{
		client: c.Client, config: c.Config, kubeconfig: p.options.Target.Kubeconfig, namespace: current.Namespace,
		gateway: c.Gateway, token: c.Token, receiver: c.Receiver, endpoint: c.Endpoint,
		logs: "Logs: kubectl -n " + current.Namespace + " logs --all-containers deployment/" + current.Namespace + "-manager",
	}, nil
}

// explain prints how the Pods are.
func (p *clusterPlace) explain(ctx context.Context) {
	if p.cluster != nil {
		p.cluster.ExplainPods(ctx, os.Stdout)
	}
}

func (p *clusterPlace) stop() error {
	if p.cluster == nil {
		return nil
	}
	return p.cluster.Stop()
}
