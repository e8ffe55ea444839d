// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
)

// Bounds of a start and of a stop.
const (
	startTimeout = time.Minute
	etcdGrace    = 5 * time.Second
)

// Options say how to start a control plane. The zero value is a good one.
type Options struct {
	// Dir holds data, keys, certificates, kubeconfigs and logs, and stays after Stop; a later Start with the same Dir finds
	// its objects, its CA and its tokens again. Empty: a temporary folder, which Stop removes.
	Dir string
	// Assets are the binaries. Zero: those of [Ensure].
	Assets Assets
	// Port is the API server's. Zero: a free one.
	Port int
	// UnsafeNoFsync lets etcd answer before data is on disk: faster, and data may be lost with the machine, not with a process.
	UnsafeNoFsync bool
	// Manifests are files and folders, read as [Apply] does. They are applied before the controller manager starts, so its
	// garbage collector knows their kinds from the beginning; of a CRD that comes later it hears within 30 seconds. Start
	// also waits until the API server does not hold back objects of these kinds any more.
	Manifests []string
	// Addresses are more addresses that the API server's certificate vouches for, such as those at which Pods reach it.
	Addresses []net.IP
	// EtcdArgs, APIServerArgs and ControllerManagerArgs come after ours on the command line and override them.
	EtcdArgs, APIServerArgs, ControllerManagerArgs []string
	// Progress is told what is being done. Nil: nobody.
	Progress func(string)
}

// ControlPlane is a running control plane. Its methods may be called concurrently.
type ControlPlane struct {
	options   Options
	assets    Assets
	spent     originEffort // on the binaries
	temporary bool
	files     componentFiles
	admin     *rest.Config
	ca        *authority

	ports struct{ etcd, peer, api, manager int }

	etcdProbe, apiEarlyProbe, apiProbe, managerProbe componentProbe

	mu                       sync.Mutex // guards what follows
	etcd, apiServer, manager *childprocess.Process
	release                  []func() // gives back folder and ports, in reverse order
	stopped                  bool
}

// PIDs are the process ids of a control plane, for CPU accounting. Zero: not running.
type PIDs struct{ Etcd, APIServer, ControllerManager int }

// errStopped is what methods answer after Stop.
var errStopped = errors.New("control plane is stopped")

// Start starts a control plane and returns when it is fit for use: etcd, API server and controller manager answer that they
// are healthy, manifests are applied, and namespaces get their default ServiceAccount. ctx bounds the start, at most one
// minute beyond [Ensure], and nothing after it. The caller calls Stop.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	c := &ControlPlane{options: options, assets: options.Assets}
	if c.assets == (Assets{}) {
		assets, spent, err := ensureAssets(ctx, options.Progress)
		if err != nil {
			return nil, err
		}
		c.assets, c.spent = assets, spent
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start control plane: %w", err), c.Stop())
	}
	return c, nil
}

func (c *ControlPlane) start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	begin := time.Now()
	since := func() time.Duration { return time.Since(begin).Round(10 * time.Millisecond) }
	all, err := readManifestPaths(c.options.Manifests)
	if err != nil {
		return err
	}
	if err := c.prepare(begin); err != nil {
		return err
	}
	a, err := newApplier(c.admin)
	if err != nil {
		return err
	}
	if c.etcd, err = childprocess.Start(etcdBinary, c.files.log(etcdBinary), c.etcdCommand()); err != nil {
		return err
	}
	if err := c.etcd.WaitFor(ctx, "etcd", c.etcdProbe.check); err != nil {
		return err
	}
	etcdReady := since()
	if err := c.startAPIServer(ctx, func() error { return a.applyCRDs(ctx, all.crds) }); err != nil {
		return err
	}
	apiReady := since()
	if err := a.applyObjects(ctx, all); err != nil {
		return err
	}
	if err := c.startControllerManager(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(time.Until(a.settled)):
	case <-ctx.Done():
		return fmt.Errorf("wait for new kinds: %w", ctx.Err())
	}
	c.options.Progress(fmt.Sprintf("control plane ready at %s after %s (etcd %s, API server %s)", c.APIServerURL(), since(), etcdReady, apiReady))
	if c.spent != (originEffort{}) {
		c.options.Progress(fmt.Sprintf("first run of this control plane: %s, start %s", c.spent, since()))
	}
	return nil
}

// startAPIServer starts the API server and returns when it is ready. It calls early as soon as requests of an administrator
// are served, which is about two seconds before.
func (c *ControlPlane) startAPIServer(ctx context.Context, early func() error) error {
	p, err := childprocess.Start(apiServerBinary, c.files.log(apiServerBinary), c.apiServerCommand())
	if err != nil {
		return err
	}
	c.apiServer = p
	if err := p.WaitFor(ctx, "API server", c.apiEarlyProbe.check); err != nil {
		return err
	}
	if err := early(); err != nil {
		return err
	}
	return p.WaitFor(ctx, "API server", c.apiProbe.check)
}

func (c *ControlPlane) startControllerManager(ctx context.Context) error {
	p, err := childprocess.Start(controllerManagerBinary, c.files.log(controllerManagerBinary), c.controllerManagerCommand())
	if err != nil {
		return err
	}
	c.manager = p
	if err := p.WaitFor(ctx, "controller manager", c.managerProbe.check); err != nil {
		return err
	}
	check, err := newServiceAccountCheck(ctx, c.admin)
	if err != nil {
		return err
	}
	return p.WaitFor(ctx, "default ServiceAccounts", check.run)
}

// KillAPIServer kills the API server (SIGKILL) and returns when it is gone. Until StartAPIServer connections to its port are
// refused.
func (c *ControlPlane) KillAPIServer() error {
	return withAPIServer(c, func(p *childprocess.Process) error {
		p.Stop(0)
		return nil
	})
}

// PauseAPIServer freezes the API server (SIGSTOP): it accepts connections and answers nothing until ResumeAPIServer.
func (c *ControlPlane) PauseAPIServer() error { return withAPIServer(c, (*childprocess.Process).Pause) }

// ResumeAPIServer lets a frozen API server go on (SIGCONT).
func (c *ControlPlane) ResumeAPIServer() error {
	return withAPIServer(c, (*childprocess.Process).Resume)
}

// withAPIServer does something to the API server's process until Stop.
func withAPIServer(c *ControlPlane, do func(*childprocess.Process) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errStopped
	}
	return do(c.apiServer)
}

// StartAPIServer starts the API server again after KillAPIServer, on the same port with the same data, and returns when it
// is ready.
func (c *ControlPlane) StartAPIServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errStopped
	}
	if c.apiServer.Running() {
		return errors.New("start API server: it is running")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.startAPIServer(ctx, func() error { return nil }); err != nil {
		c.apiServer.Stop(0)
		return err
	}
	return nil
}

// Stop ends all processes, gives back the ports and removes a temporary folder. It returns when that is done; calling it
// again does nothing.
func (c *ControlPlane) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	// etcd's log makes a kill of the other two safe. etcd itself is asked, unless its data is thrown away.
	for _, p := range []*childprocess.Process{c.manager, c.apiServer} {
		if p != nil {
			p.Stop(0)
		}
	}
	if c.etcd != nil {
		grace := etcdGrace
		if c.temporary {
			grace = 0
		}
		c.etcd.Stop(grace)
	}
	for _, release := range slices.Backward(c.release) {
		release()
	}
	if c.temporary {
		if err := os.RemoveAll(c.files.dir); err != nil {
			return fmt.Errorf("stop control plane: %w", err)
		}
	}
	return nil
}

// PIDs returns the ids of the processes that are running now.
func (c *ControlPlane) PIDs() PIDs {
	c.mu.Lock()
	defer c.mu.Unlock()
	return PIDs{Etcd: livePID(c.etcd), APIServer: livePID(c.apiServer), ControllerManager: livePID(c.manager)}
}

func livePID(p *childprocess.Process) int {
	if p == nil || !p.Running() {
		return 0
	}
	return p.PID()
}

// APIServerURL is the API server's address, "https://127.0.0.1:<port>". It stays the same while the control plane lives.
func (c *ControlPlane) APIServerURL() string { return componentURL(c.ports.api) }

// CAData is the certificate, in PEM, that vouches for the API server.
func (c *ControlPlane) CAData() []byte { return slices.Clone(c.ca.cert) }

// Dir is the folder with data, keys and logs (etcd.log, kube-apiserver.log, kube-controller-manager.log).
func (c *ControlPlane) Dir() string { return c.files.dir }

// EtcdClient is etcd's address and a TLS configuration with which it may be
// read and written past the API server, as a backup tool does.
func (c *ControlPlane) EtcdClient() (address string, config *tls.Config, err error) {
	pair, err := tls.LoadX509KeyPair(c.files.etcdClientCert, c.files.etcdClientKey)
	if err != nil {
		return "", nil, fmt.Errorf("client of etcd: %w", err)
	}
	ca, err := os.ReadFile(c.files.etcdCA)
	if err != nil {
		return "", nil, fmt.Errorf("client of etcd: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return componentURL(c.ports.etcd), &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
