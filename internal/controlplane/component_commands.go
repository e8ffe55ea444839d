// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
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

// componentFiles are the paths that the components are started with.
type componentFiles struct {
	dir                                          string
	etcdCA, etcdCert, etcdKey                    string
	etcdClientCert, etcdClientKey                string
	clusterCA, servingCert, servingKey           string
	tokenKey, managerKubeconfig, adminKubeconfig string
}

func (f componentFiles) log(component string) string { return filepath.Join(f.dir, component+".log") }

func componentURL(port int) string {
	return fmt.Sprintf("https://127.0.0.1:%d", port)
}

func (c *ControlPlane) etcdCommand() *exec.Cmd {
	client, peer := componentURL(c.ports.etcd), componentURL(c.ports.peer)
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

func (c *ControlPlane) apiServerCommand() *exec.Cmd {
	args := []string{
		"--etcd-servers=" + componentURL(c.ports.etcd),
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
