// SPDX-License-Identifier: Apache-2.0

package current

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Target is the cluster of the kubeconfig.
type Target struct {
	// Context and Server say which one it is.
	Context, Server string
	// Kubeconfig is what KUBECONFIG is to be for this cluster, as the user has it.
	Kubeconfig string
	// Config is the user's way in.
	Config *rest.Config
	// Version is what the server says it is: "v1.37.2".
	Version string
}

// oldest is the oldest minor version that the chart takes.
const oldest = "1.31.0"

// answers bounds the first question to the API server.
const answers = 10 * time.Second

// FindTarget reads the kubeconfig as kubectl does, and asks the server which version it is. confirmed is the context that the
// user named; without it only clusters are accepted that a tool made on this machine.
func FindTarget(confirmed string) (Target, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	raw, err := rules.Load()
	if err != nil {
		return Target{}, fmt.Errorf("the kubeconfig cannot be read: %w", err)
	}
	name := raw.CurrentContext
	if name == "" {
		return Target{}, errors.New("the kubeconfig has no current context: `kubectl config use-context NAME` chooses one, `kind create cluster` makes one")
	}
	if confirmed != "" && confirmed != name {
		return Target{}, fmt.Errorf("the current context is %q, not %q: `kubectl config use-context %s` changes that", name, confirmed, confirmed)
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*raw, name, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return Target{}, fmt.Errorf("the context %q of the kubeconfig is not usable: %w", name, err)
	}
	target := Target{Context: name, Server: config.Host, Kubeconfig: strings.Join(rules.Precedence, ":"), Config: config}
	if confirmed == "" && !isLocalTarget(name, raw.Clusters[raw.Contexts[name].Cluster]) {
		return Target{}, fmt.Errorf("the current context %q leads to %s, and it does not look like a cluster that kind, k3d or the like made "+
			"on this machine: if the demo may use it, name it: make demo CLUSTER=current CONTEXT=%s", name, config.Host, name)
	}
	return target, target.readVersion()
}

// readVersion asks the server for its version.
func (t *Target) readVersion() error {
	config := rest.CopyConfig(t.Config)
	config.Timeout = answers
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("the context %q is not usable: %w", t.Context, err)
	}
	said, err := client.ServerVersion()
	if err != nil {
		return fmt.Errorf("the API server of the context %q at %s does not answer as it should; is the cluster up? %w", t.Context, t.Server, err)
	}
	t.Version = said.GitVersion
	parsed, err := version.ParseGeneric(said.GitVersion)
	if err != nil {
		return fmt.Errorf("the API server of the context %q has the version %q: %w", t.Context, said.GitVersion, err)
	}
	if parsed.LessThan(version.MustParseGeneric(oldest)) {
		return fmt.Errorf("the cluster of the context %q has Kubernetes %s; the chart takes %s or later", t.Context, said.GitVersion, oldest)
	}
	return nil
}

// isLocalTarget says whether a tool for local clusters made the cluster on this machine. The address alone does not say so:
// tunnels and proxies to any cluster listen here too. So the context must have the name that the tool gives, the server must
// be this machine, or a virtual machine or container with a private address, and no proxy or other name in between.
func isLocalTarget(context string, cluster *clientcmdapi.Cluster) bool {
	if toolOfContext(context) == nil || cluster.ProxyURL != "" || cluster.TLSServerName != "" {
		return false
	}
	server := cluster.Server
	if !strings.Contains(server, "://") { // a kubeconfig may leave that out
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return false
	}
	return address.IsLoopback() || address.IsPrivate() || address.IsUnspecified() // k3d names 0.0.0.0
}
