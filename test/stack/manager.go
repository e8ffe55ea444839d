// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/ports"
)

// stopGrace is how long a manager may take after SIGTERM: the longest attempt
// and the writing of its result.
const stopGrace = 60 * time.Second

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
	// Process is the manager.
	Process *childprocess.Process
	// MetricsURL serves the manager's metrics without TLS.
	MetricsURL string
	// ProbeURL is the base of /healthz and /readyz.
	ProbeURL string
	// DispatcherMetricsURL serves the dispatcher's metrics.
	DispatcherMetricsURL string

	*sidecar

	args, env []string
}

// StartManager starts a manager with its dispatcher and returns once the
// manager is ready. It runs with the rights of its ServiceAccount. Receivers on
// loopback are allowed, by http too.
func (s *Stack) StartManager(ctx context.Context, options ManagerOptions) (*Manager, error) {
	name := fmt.Sprintf("manager-%d", s.serial())
	config, err := s.ControlPlane.ServiceAccountConfig(ctx, SystemNamespace, s.installed["manager"].account, tokenTTL)
	if err != nil {
		return nil, err
	}
	if options.Proxy != nil {
		options.Proxy.standIn(config)
	}
	kubeconfig := filepath.Join(s.Dir, name+".kubeconfig")
	if err := controlplane.WriteKubeconfig(kubeconfig, config); err != nil {
		return nil, err
	}
	addresses := make([]string, 3)
	for i := range addresses {
		if addresses[i], err = ports.Free(); err != nil {
			return nil, err
		}
	}
	m := &Manager{
		sidecar:    s.newSidecar("manager", name, addresses[2], options.DispatcherArgs),
		MetricsURL: "http://" + addresses[0] + "/metrics", ProbeURL: "http://" + addresses[1],
		DispatcherMetricsURL: "http://" + addresses[2] + "/metrics",
	}
	if err := m.startSidecar(options.Supervise); err != nil {
		return nil, err
	}
	m.args = slices.Concat(s.installed["manager"].args, []string{
		"--kubeconfig=" + kubeconfig, "--dispatcher-socket=" + m.socket,
		"--metrics-address=" + addresses[0], "--metrics-secure=false", "--probe-address=" + addresses[1],
		"--leader-election-namespace=" + SystemNamespace, fmt.Sprintf("--leader-elect=%t", !options.Alone),
	}, options.Args)
	m.env = options.Env
	if options.NotReady {
		return m, m.Launch()
	}
	return m, m.Restart(ctx)
}

// Launch starts the manager, again if it had ended, as kubelet does with a
// container.
func (m *Manager) Launch() error {
	process, err := m.stack.launchConfined(m.env, m.stack.installed["manager"].memory, m.name, m.stack.Binaries.Operator, m.args...)
	m.Process = process
	return err
}

// Restart is Launch that returns once the manager is ready.
func (m *Manager) Restart(ctx context.Context) error {
	if err := m.Launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return m.Process.WaitFor(ctx, m.name, ready(m.ProbeURL+"/readyz"))
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

// Stop asks the manager to end as kubelet does: SIGTERM, a grace period, then
// its sidecar.
func (m *Manager) Stop() {
	m.Process.Stop(stopGrace)
	m.endDispatcher()
}

// Kill ends manager and sidecar at once, as when a node dies.
func (m *Manager) Kill() {
	m.Process.Stop(0)
	m.endDispatcher()
}

// Pause stops the manager's clock (SIGSTOP); Resume continues it.
func (m *Manager) Pause() error { return m.Process.Signal(syscall.SIGSTOP) }

// Resume continues a paused manager.
func (m *Manager) Resume() error { return m.Process.Signal(syscall.SIGCONT) }
