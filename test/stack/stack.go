// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
)

// SystemNamespace is where the product's own ServiceAccounts and lease are.
const SystemNamespace = "bbmcp-system"

// tokenTTL outlives every run.
const tokenTTL = 24 * time.Hour

// Options say how to start a Stack. The zero value is a good one.
type Options struct {
	// Binaries are the programs; zero: built from the tree.
	Binaries Binaries
	// ControlPlane is passed on; its Manifests come after the product's own.
	ControlPlane controlplane.Options
	// Values are those of the chart, which rights and arguments come from.
	Values map[string]any
	// AuditPolicy makes the API server note calls in [Stack.AuditLog]; empty: none.
	AuditPolicy string
	// Tree is a checkout to take chart and programs from; empty: the one that the
	// working directory is in.
	Tree string
	// Confine is given the command of each process of ours before it starts, with
	// the memory limit that the chart gives its container, and may change it, as a
	// container runtime does. nil: nothing does.
	Confine func(process string, memoryLimit int64, command *exec.Cmd) error
	// Progress is told what is being done.
	Progress func(string)
}

// Stack is the running product. Its methods may be called concurrently.
type Stack struct {
	// ControlPlane is the cluster.
	ControlPlane *controlplane.ControlPlane
	// Client has all rights; it stands for a person with kubectl.
	Client client.WithWatch
	// Dir holds kubeconfigs, sockets and logs.
	Dir string
	// Binaries are the programs that run.
	Binaries Binaries

	// installed are the chart's containers.
	installed installed
	confine   func(string, int64, *exec.Cmd) error
	// elder says that the programs are of another checkout, which may not know the
	// flags of this one.
	elder bool

	mu      sync.Mutex
	running []*childprocess.Process
	counter int
}

// Start builds what is missing and starts a control plane with what the chart
// installs: CRDs, roles, event types. No process of ours runs yet. The caller
// calls Stop.
func Start(ctx context.Context, options Options) (*Stack, error) {
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	root, err := options.Tree, error(nil)
	if root == "" {
		root, err = Root(ctx)
	}
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bbmcp-") // short: sockets have at most 107 bytes
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	s := &Stack{Dir: dir, Binaries: options.Binaries, confine: options.Confine, elder: options.Tree != ""}
	if s.Binaries == (Binaries{}) {
		if s.Binaries, err = buildBinaries(ctx, root, dir, options.Progress); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	control := options.ControlPlane
	control.Progress = options.Progress
	manifest, err := s.renderInstalled(ctx, root, options.Values)
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if options.AuditPolicy != "" {
		policy := filepath.Join(dir, "audit-policy.yaml")
		if err := os.WriteFile(policy, []byte(options.AuditPolicy), 0o600); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
		control.APIServerArgs = append(slices.Clone(control.APIServerArgs), "--audit-policy-file="+policy, "--audit-log-path="+s.AuditLog())
	}
	control.Manifests = append([]string{filepath.Join(root, "config/namespace"), manifest}, control.Manifests...)
	ctrl.SetLogger(logr.Discard()) // the client library complains unless somebody decides
	started := time.Now()
	if s.ControlPlane, err = controlplane.Start(ctx, control); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if s.Client, err = client.NewWithWatch(s.ControlPlane.AdminConfig(), client.Options{Scheme: Scheme()}); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	options.Progress(fmt.Sprintf("control plane ready in %s", time.Since(started).Round(100*time.Millisecond)))
	return s, nil
}

// AuditLog is the file in which the API server notes calls, if there is a policy
// for that.
func (s *Stack) AuditLog() string { return filepath.Join(s.Dir, "audit.jsonl") }

// Stop ends every process, newest first, and removes the folder.
func (s *Stack) Stop() error {
	s.mu.Lock()
	running := slices.Clone(s.running)
	s.running = nil
	s.mu.Unlock()
	for _, process := range slices.Backward(running) {
		process.Stop(5 * time.Second)
	}
	var err error
	if s.ControlPlane != nil {
		err = s.ControlPlane.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.Dir))
}

// launch starts a program whose output goes to Dir/name.log.
func (s *Stack) launch(name, binary string, args ...string) (*childprocess.Process, error) {
	return s.start(name, exec.Command(binary, args...))
}

// launchConfined is launch of what the chart gives a memory limit, with more
// environment variables.
func (s *Stack) launchConfined(env []string, limit int64, name, binary string, args ...string) (*childprocess.Process, error) {
	command := exec.Command(binary, args...)
	command.Env = append(os.Environ(), env...)
	if s.confine != nil {
		if err := s.confine(name, limit, command); err != nil {
			return nil, fmt.Errorf("confine %s: %w", name, err)
		}
	}
	return s.start(name, command)
}

func (s *Stack) start(name string, command *exec.Cmd) (*childprocess.Process, error) {
	process, err := childprocess.Start(name, filepath.Join(s.Dir, name+".log"), command)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.running = append(s.running, process)
	s.mu.Unlock()
	return process, nil
}

// serial makes names of replicas unique.
func (s *Stack) serial() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counter++
	return s.counter
}

// Logs returns the paths of every log that our processes wrote.
func (s *Stack) Logs() ([]string, error) { return filepath.Glob(filepath.Join(s.Dir, "*.log")) }

// KeepLogs copies the logs into a folder; "": nobody wants them.
func (s *Stack) KeepLogs(to string) error {
	logs, err := s.Logs()
	if to == "" || err != nil {
		return err
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(log)), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
