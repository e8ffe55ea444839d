// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/ports"
)

// GatewayOptions say how to start a gateway and its sidecar.
type GatewayOptions struct {
	// Args and DispatcherArgs come after ours and override them.
	Args, DispatcherArgs []string
	// Supervise starts the dispatcher again when it ends, as kubelet does.
	Supervise bool
	// Proxy stands between this gateway and the API server; nil: nothing does.
	Proxy *APIProxy
	// NotReady returns as soon as the processes run.
	NotReady bool
	// Env has more environment variables, as NAME=value.
	Env []string
	// TLS makes it serve over TLS, HTTP/2 included; nil: without.
	TLS *GatewayTLS
}

// GatewayTLS is the certificate of a gateway.
type GatewayTLS struct {
	// CertFile and KeyFile hold it and its key, in PEM.
	CertFile, KeyFile string
	// Roots vouch for it.
	Roots *x509.CertPool
}

// Gateway is a gateway with its dispatcher, as in one Pod.
type Gateway struct {
	// Process is the gateway.
	Process *childprocess.Process
	// URL is the base of the REST API, the same after a Restart.
	URL string
	// MetricsURL serves the gateway's metrics without TLS.
	MetricsURL string
	// DispatcherMetricsURL serves the dispatcher's metrics.
	DispatcherMetricsURL string

	*sidecar

	args, env []string
	probe     *http.Client
}

// StartGateway starts a gateway with its dispatcher and returns once it is
// ready. It runs with the rights of its ServiceAccount.
func (s *Stack) StartGateway(ctx context.Context, options GatewayOptions) (*Gateway, error) {
	name := fmt.Sprintf("gateway-%d", s.serial())
	config, err := s.ControlPlane.ServiceAccountConfig(ctx, SystemNamespace, s.installed["gateway"].account, tokenTTL)
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
	g := &Gateway{
		sidecar: s.newSidecar("gateway", name, addresses[2], options.DispatcherArgs),
		URL:     "http://" + addresses[0], MetricsURL: "http://" + addresses[1] + "/metrics",
		DispatcherMetricsURL: "http://" + addresses[2] + "/metrics",
	}
	if err := g.startSidecar(options.Supervise); err != nil {
		return nil, err
	}
	g.args = slices.Concat(s.installed["gateway"].args, []string{
		"--kubeconfig=" + kubeconfig, "--dispatcher-socket=" + g.socket, "--address=" + addresses[0],
		"--metrics-address=" + addresses[1], "--metrics-secure=false", "--drain-delay=0s",
		"--skipped-namespace=" + SystemNamespace,
	}, options.Args)
	g.env, g.probe = options.Env, http.DefaultClient
	if own := options.TLS; own != nil {
		g.URL = "https://" + addresses[0]
		g.args = append(g.args, "--tls-cert-file="+own.CertFile, "--tls-key-file="+own.KeyFile)
		g.probe = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own.Roots, MinVersion: tls.VersionTLS12}}}
	}
	if options.NotReady {
		return g, g.Launch()
	}
	return g, g.Restart(ctx)
}

// Launch starts the gateway, again if it had ended, as kubelet does with a
// container.
func (g *Gateway) Launch() error {
	process, err := g.stack.launchConfined(g.env, g.stack.installed["gateway"].memory, g.name, g.stack.Binaries.Operator, g.args...)
	g.Process = process
	return err
}

// Restart is Launch that returns once the gateway is ready.
func (g *Gateway) Restart(ctx context.Context) error {
	if err := g.Launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return g.Process.WaitFor(ctx, g.name, readyBy(g.probe, g.URL+"/readyz"))
}

// Stop asks the gateway to end as kubelet does: SIGTERM, a grace period, then
// its sidecar.
func (g *Gateway) Stop() {
	g.Process.Stop(stopGrace)
	g.endDispatcher()
}

// Kill ends gateway and sidecar at once, as when a node dies.
func (g *Gateway) Kill() {
	g.Process.Stop(0)
	g.endDispatcher()
}

// Pause stops the gateway's clock (SIGSTOP); Resume continues it.
func (g *Gateway) Pause() error { return g.Process.Signal(syscall.SIGSTOP) }

// Resume continues a paused gateway.
func (g *Gateway) Resume() error { return g.Process.Signal(syscall.SIGCONT) }

// Host is the host:port of the REST API.
func (g *Gateway) Host() string {
	base, err := url.Parse(g.URL)
	if err != nil {
		return ""
	}
	return base.Host
}

// Token makes a ServiceAccount with these ClusterRoles in a namespace, if it is
// not there yet, and returns a token of it. audiences as in a TokenRequest;
// none: the API server's own.
func (s *Stack) Token(ctx context.Context, namespace, name string, roles []string, audiences ...string) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := s.Client.Create(ctx, account); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("create service account %s/%s: %w", namespace, name, err)
	}
	for _, role := range roles {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-" + role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}},
		}
		if err := s.Client.Create(ctx, binding); err != nil && !apierrors.IsAlreadyExists(err) {
			return "", fmt.Errorf("bind %s/%s to %s: %w", namespace, name, role, err)
		}
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: audiences, ExpirationSeconds: new(int64(tokenTTL.Seconds())),
	}}
	account.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: name}
	if err := s.Client.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("get a token of %s/%s: %w", namespace, name, err)
	}
	return request.Status.Token, nil
}
