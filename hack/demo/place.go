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

// onThisMachine is a control plane of our own, and the product in processes.
type onThisMachine struct {
	say   func(string)
	stack *stack.Stack
}

func (m *onThisMachine) start(ctx context.Context) (installation, error) {
	s, err := stack.Start(ctx, stack.Options{Progress: m.say, ControlPlane: controlplane.Options{UnsafeNoFsync: true}})
	if err != nil {
		return installation{}, err
	}
	m.stack = s
	if _, err := s.StartManager(ctx, stack.ManagerOptions{Supervise: true}); err != nil {
		return installation{}, err
	}
	gateway, err := s.StartGateway(ctx, stack.GatewayOptions{Supervise: true})
	if err != nil {
		return installation{}, err
	}
	m.say("manager and gateway are ready, each with its dispatcher, each a process of its own")
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
func (m *onThisMachine) explain(context.Context) {
	if m.stack == nil {
		return
	}
	logs, err := m.stack.Logs()
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

func (m *onThisMachine) stop() error {
	if m.stack == nil {
		return nil
	}
	return m.stack.Stop()
}

// inCluster is the cluster of the kubeconfig.
type inCluster struct {
	options current.Options
	cluster *current.Cluster
}

func (i *inCluster) start(ctx context.Context) (installation, error) {
	var err error
	if i.cluster, err = current.Start(ctx, i.options); err != nil {
		return installation{}, err
	}
	c := i.cluster
	return installation{
		client: c.Client, config: c.Config, kubeconfig: i.options.Target.Kubeconfig, namespace: current.Namespace,
		gateway: c.Gateway, token: c.Token, receiver: c.Receiver, endpoint: c.Endpoint,
		logs: "Logs: kubectl -n " + current.Namespace + " logs --all-containers deployment/" + current.Namespace + "-manager",
	}, nil
}

// explain prints how the Pods are.
func (i *inCluster) explain(ctx context.Context) {
	if i.cluster != nil {
		i.cluster.Explain(ctx, os.Stdout)
	}
}

func (i *inCluster) stop() error {
	if i.cluster == nil {
		return nil
	}
	return i.cluster.Stop()
}
