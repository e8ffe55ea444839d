// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// advertised is the address that the API server publishes as its own: TEST-NET-1, which routes nowhere.
const advertised = "192.0.2.1"

// controllers are those that a control plane without nodes has a use for. The token controller serves Secrets of type
// kubernetes.io/service-account-token.
const controllers = "clusterrole-aggregation-controller," +
	"garbage-collector-controller," +
	"namespace-controller," +
	"resourcequota-controller," +
	"root-ca-certificate-publisher-controller," +
	"serviceaccount-controller," +
	"serviceaccount-token-controller"

// files are the paths that the components are started with.
type files struct {
	dir                                          string
	etcdCA, etcdCert, etcdKey                    string
	etcdClientCert, etcdClientKey                string
	clusterCA, servingCert, servingKey           string
	tokenKey, managerKubeconfig, adminKubeconfig string
}

func (f files) log(component string) string { return filepath.Join(f.dir, component+".log") }

func loopback(port int) string {
	return fmt.Sprintf("https://127.0.0.1:%d", port)
}

func (c *ControlPlane) etcdCommand() *exec.Cmd {
	client, peer := loopback(c.ports.etcd), loopback(c.ports.peer)
	args := []string{
		"--name=default",
		"--data-dir=" + filepath.Join(c.files.dir, "etcd"),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer,
		"--cert-file=" + c.files.etcdCert, "--key-file=" + c.files.etcdKey,
		"--trusted-ca-file=" + c.files.etcdCA, "--client-cert-auth",
		"--peer-cert-file=" + c.files.etcdCert, "--peer-key-file=" + c.files.etcdKey,
		"--peer-trusted-ca-file=" + c.files.etcdCA, "--peer-client-cert-auth",
		"--socket-reuse-port",
		"--heartbeat-interval=20", "--election-timeout=100", // the only member need not give others time to vote
		"--unsafe-no-fsync=" + strconv.FormatBool(c.options.UnsafeNoFsync),
	}
	return exec.Command(c.assets.Etcd, append(args, c.options.EtcdArgs...)...)
}

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
	return loopback(c.ports.etcd), &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

func (c *ControlPlane) apiServerCommand() *exec.Cmd {
	args := []string{
		"--etcd-servers=" + loopback(c.ports.etcd),
		"--etcd-cafile=" + c.files.etcdCA, "--etcd-certfile=" + c.files.etcdClientCert, "--etcd-keyfile=" + c.files.etcdClientKey,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(c.ports.api), "--permit-port-sharing",
		"--advertise-address=" + advertised,
		"--tls-cert-file=" + c.files.servingCert, "--tls-private-key-file=" + c.files.servingKey,
		"--client-ca-file=" + c.files.clusterCA,
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.files.tokenKey, "--service-account-signing-key-file=" + c.files.tokenKey,
		"--service-cluster-ip-range=10.96.0.0/16",
		"--profiling=false",
	}
	return exec.Command(c.assets.APIServer, append(args, c.options.APIServerArgs...)...)
}

func (c *ControlPlane) controllerManagerCommand() *exec.Cmd {
	args := []string{
		"--kubeconfig=" + c.files.managerKubeconfig,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(c.ports.manager), "--permit-port-sharing",
		"--tls-cert-file=" + c.files.servingCert, "--tls-private-key-file=" + c.files.servingKey,
		"--controllers=" + controllers,
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + c.files.tokenKey,
		"--root-ca-file=" + c.files.clusterCA,
		"--leader-elect=false",
		"--profiling=false",
	}
	return exec.Command(c.assets.ControllerManager, append(args, c.options.ControllerManagerArgs...)...)
}

// probe is a health check over HTTPS.
type probe struct {
	url    string
	client *http.Client
}

// newProbe trusts ca and presents pair.
func newProbe(url string, ca *authority, pair keyPair) (probe, error) {
	cert, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return probe{}, fmt.Errorf("probe of %s: %w", url, err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.parsed)
	return probe{url: url, client: &http.Client{
		Timeout: time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		},
	}}, nil
}

func (p probe) check(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", p.url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(p.url + ": " + resp.Status + ": " + failedChecks(string(body)))
	}
	return nil
}

// failedChecks keeps the lines of a health report that say what is wrong: "[-]name failed: reason withheld".
func failedChecks(body string) string {
	var failed []string
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "[-]") {
			failed = append(failed, strings.TrimSpace(line))
		}
	}
	if len(failed) == 0 {
		return strings.TrimSpace(body)
	}
	return strings.Join(failed, ", ")
}
