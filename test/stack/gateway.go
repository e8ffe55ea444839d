// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
	*process

	// URL is the base of the REST API, the same after a Restart.
	URL string
}

// StartGateway starts a gateway with its dispatcher and returns once it is
// ready. It runs with the rights of its ServiceAccount.
func (s *Stack) StartGateway(ctx context.Context, options GatewayOptions) (*Gateway, error) {
	p, err := s.startProcess(ctx, "gateway", options.Proxy, options.Supervise, options.DispatcherArgs)
	if err != nil {
		return nil, err
	}
	g := &Gateway{process: p, URL: "http://" + p.address}
	g.args = slices.Concat(g.args, []string{
		"--address=" + g.address, "--drain-delay=0s", "--skipped-namespace=" + SystemNamespace,
	}, options.Args)
	probe := http.DefaultClient
	if own := options.TLS; own != nil {
		g.URL = "https://" + g.address
		g.args = append(g.args, "--tls-cert-file="+own.CertFile, "--tls-key-file="+own.KeyFile)
		probe = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own.Roots, MinVersion: tls.VersionTLS12}}}
	}
	g.env, g.ready = options.Env, readyBy(probe, g.URL+"/readyz")
	if options.NotReady {
		return g, g.Launch()
	}
	return g, g.Restart(ctx)
}

// Host is the host:port of the REST API.
func (g *Gateway) Host() string { return g.address }

// Token is [NewToken] with all rights.
func (s *Stack) Token(ctx context.Context, namespace, name string, roles []string, audiences ...string) (string, error) {
	return NewToken(ctx, s.Client, namespace, name, roles, audiences...)
}

// NewToken makes a ServiceAccount with these ClusterRoles in a namespace, if it is
// not there yet, and returns a token of it. audiences as in a TokenRequest;
// none: the API server's own.
func NewToken(ctx context.Context, c client.Client, namespace, name string, roles []string, audiences ...string) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := c.Create(ctx, account); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("create service account %s/%s: %w", namespace, name, err)
	}
	for _, role := range roles {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-" + role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}},
		}
		if err := c.Create(ctx, binding); err != nil && !apierrors.IsAlreadyExists(err) {
			return "", fmt.Errorf("bind %s/%s to %s: %w", namespace, name, role, err)
		}
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: audiences, ExpirationSeconds: new(int64(tokenTTL.Seconds())),
	}}
	account.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: name}
	if err := c.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("get a token of %s/%s: %w", namespace, name, err)
	}
	return request.Status.Token, nil
}
