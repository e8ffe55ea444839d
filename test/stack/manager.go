// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"fmt"
	"slices"
)

// ManagerOptions say how to start a manager and its sidecar.
type ManagerOptions struct {
	// Args and DispatcherArgs come after ours and override them.
	Args, DispatcherArgs []string
	// Alone runs the manager without leader election.
	Alone bool
	// Supervise starts the dispatcher again when it ends, as kubelet does.
	Supervise bool
	// Proxy stands between this manager and the API server; nil: nothing does.
	Proxy *APIProxy
	// NotReady returns as soon as the processes run.
	NotReady bool
	// Env has more environment variables, as NAME=value.
	Env []string
}

// Manager is a manager with its dispatcher, as in one Pod.
type Manager struct {
	*stackProcess

	// ProbeURL is the base of /healthz and /readyz.
	ProbeURL string
}

// StartManager starts a manager with its dispatcher and returns once the
// manager is ready. It runs with the rights of its ServiceAccount. Receivers on
// loopback are allowed, by http too.
func (s *Stack) StartManager(ctx context.Context, options ManagerOptions) (*Manager, error) {
	p, err := s.startProcess(ctx, "manager", options.Proxy, options.Supervise, options.DispatcherArgs)
	if err != nil {
		return nil, err
	}
	m := &Manager{stackProcess: p, ProbeURL: "http://" + p.address}
	m.args = slices.Concat(m.args, []string{
		"--probe-address=" + m.address,
		"--leader-election-namespace=" + SystemNamespace, fmt.Sprintf("--leader-elect=%t", !options.Alone),
	}, options.Args)
	m.env, m.ready = options.Env, processReady(m.ProbeURL+"/readyz")
	if options.NotReady {
		return m, m.Launch()
	}
	return m, m.Restart(ctx)
}

// Leads reports whether this manager says that it is the leader.
func (m *Manager) Leads(ctx context.Context) (bool, error) {
	samples, err := Scrape(ctx, m.MetricsURL)
	return samples.Sum("leader_election_master_status") == 1, err
}

// HasFilled reports whether the manager has read all deliveries that there were.
func (m *Manager) HasFilled(ctx context.Context) (bool, error) {
	samples, err := Scrape(ctx, m.MetricsURL)
	return samples.Sum("bbmcp_delivery_cache_filled") == 1, err
}
