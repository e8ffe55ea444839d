// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
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
	*stackProcess

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
	g := &Gateway{stackProcess: p, URL: "http://" + p.address}
	g.args = slices.Concat(g.args, []string{
		"--address=" + g.address, "--drain-delay=0s", "--skipped-namespace=" + SystemNamespace,
	}, options.Args)
	probe := http.DefaultClient
	if own := options.TLS; own != nil {
		g.URL = "https://" + g.address
		g.args = append(g.args, "--tls-cert-file="+own.CertFile, "--tls-key-file="+own.KeyFile)
		probe = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own.Roots, MinVersion: tls.VersionTLS12}}}
	}
	g.env, g.ready = options.Env, processReadyBy(probe, g.URL+"/readyz")
	if options.NotReady {
		return g, g.Launch()
	}
	return g, g.Restart(ctx)
}

// Host is the host:port of the REST API.
func (g *Gateway) Host() string { return g.address }
