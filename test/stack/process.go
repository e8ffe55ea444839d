// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/ports"
)

// stopGrace is how long a process may take after SIGTERM: the longest attempt and
// the writing of its result.
const stopGrace = 60 * time.Second

// stackProcess is a manager or a gateway with its dispatcher, as in one Pod.
type stackProcess struct {
	// Process is the manager or gateway.
	Process *childprocess.Process
	// MetricsURL serves its metrics without TLS.
	MetricsURL string
	// DispatcherMetricsURL serves the dispatcher's metrics.
	DispatcherMetricsURL string

	*sidecar

	address   string // of probes or of the REST API
	args, env []string
	memory    int64 // its limit
	ready     func(context.Context) error
}

// startProcess starts the dispatcher of a role and prepares the role's own start,
// with the rights of its ServiceAccount. The caller adds its args and what ready
// means, and calls Launch or Restart.
func (s *Stack) startProcess(ctx context.Context, role string, proxy *APIProxy, supervise bool, dispatcherArgs []string) (*stackProcess, error) {
	name, pod := fmt.Sprintf("%s-%d", role, s.serial()), s.installed[role]
	config, err := s.ControlPlane.ServiceAccountConfig(ctx, SystemNamespace, pod.account, tokenTTL)
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		proxy.standIn(config)
	}
	kubeconfig := filepath.Join(s.Dir, name+".kubeconfig")
	if err := controlplane.WriteKubeconfig(kubeconfig, config); err != nil {
		return nil, err
	}
	addresses := make([]string, 3)
	for i := range addresses {
		if addresses[i], err = ports.FreeAddress(); err != nil {
			return nil, err
		}
	}
	p := &stackProcess{
		sidecar: s.newSidecar(role, name, addresses[2], dispatcherArgs), address: addresses[0],
		MetricsURL: "http://" + addresses[1] + "/metrics", DispatcherMetricsURL: "http://" + addresses[2] + "/metrics",
		memory: pod.memory,
	}
	p.args = slices.Concat(pod.args, []string{
		"--kubeconfig=" + kubeconfig, "--dispatcher-socket=" + p.socket,
		"--metrics-address=" + addresses[1], "--metrics-secure=false",
	})
	return p, p.startSidecar(supervise)
}

// Launch starts the process, again if it had ended, as kubelet does with a
// container.
func (p *stackProcess) Launch() (err error) {
	p.Process, err = p.stack.launchConfined(p.env, p.memory, p.name, p.stack.Binaries.Operator, p.args...)
	return err
}

// Restart is Launch that returns once the process is ready.
func (p *stackProcess) Restart(ctx context.Context) error {
	if err := p.Launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return p.Process.WaitFor(ctx, p.name, p.ready)
}

// Stop asks the process to end as kubelet does: SIGTERM, a grace period, then its
// sidecar.
func (p *stackProcess) Stop() {
	p.Process.Stop(stopGrace)
	p.endDispatcher()
}

// Kill ends process and sidecar at once, as when a node dies.
func (p *stackProcess) Kill() {
	p.Process.Stop(0)
	p.endDispatcher()
}

// Pause stops the process's clock (SIGSTOP); Resume continues it.
func (p *stackProcess) Pause() error { return p.Process.Signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (p *stackProcess) Resume() error { return p.Process.Signal(syscall.SIGCONT) }

// processReady is nil once GET url answers 200.
func processReady(url string) func(context.Context) error {
	return processReadyBy(http.DefaultClient, url)
}

func processReadyBy(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := ScrapeText(ctx, client, url)
		return err
	}
}
