// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/pflag"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"bbmcp.quietstack.com/webhooks/internal/httpserver"
)

// scrapesAtOnce bounds how many are answered at a time: each makes text of every
// series.
const scrapesAtOnce = 4

// metricsOptions are the flags of /metrics.
type metricsOptions struct {
	address     string
	secure      bool
	certificate string
	key         string
}

func (o *metricsOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.address, "metrics-address", ":8443", "address of /metrics; 0 turns it off")
	flags.BoolVar(&o.secure, "metrics-secure", true, "serve /metrics over TLS, to callers that RBAC lets read it")
	flags.StringVar(&o.certificate, "metrics-cert-file", "", "PEM file with the certificate of /metrics, read again when it changes (default: one of the process's own, which nobody can verify)")
	flags.StringVar(&o.key, "metrics-key-file", "", "PEM file with the key of that certificate")
}

// listen begins to listen, and returns what answers; nil: /metrics is off.
func (o *metricsOptions) listen(ctx context.Context, access *callerAccess, serverMetrics *httpserver.Metrics, logger *slog.Logger) (*httpserver.Server, net.Listener, error) {
	if o.address == "0" || o.address == "" {
		return nil, nil, nil
	}
	handler := promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesAtOnce})
	options := httpserver.Options{Listener: "metrics", Metrics: serverMetrics, Logger: logger}
	if o.secure {
		handler = access.authorize(handler)
		var err error
		if options.TLS, err = o.tls(ctx); err != nil {
			return nil, nil, err
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", handler)
	options.Handler = mux
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		return nil, nil, fmt.Errorf("--metrics-address %s: %w", o.address, err)
	}
	return httpserver.New(options), listener, nil
}

// tls is that of the files, or has a certificate of our own.
func (o *metricsOptions) tls(ctx context.Context) (*tls.Config, error) {
	if (o.certificate == "") != (o.key == "") {
		return nil, errors.New("--metrics-cert-file, --metrics-key-file: give both or none")
	}
	if o.certificate == "" {
		return selfSignedMetricsCertificate()
	}
	watched, err := watchedMetricsCertificate(ctx, o.certificate, o.key)
	if err != nil {
		return nil, fmt.Errorf("--metrics-cert-file, --metrics-key-file: %w", err)
	}
	return watched, nil
}

// watchedMetricsCertificate reads a certificate again when its file changes, until ctx ends.
func watchedMetricsCertificate(ctx context.Context, certificate, key string) (*tls.Config, error) {
	watcher, err := certwatcher.New(certificate, key)
	if err != nil {
		return nil, err
	}
	go func() { _ = watcher.Start(ctx) }() // a certificate that cannot be read again stays as it is
	return &tls.Config{GetCertificate: watcher.GetCertificate, MinVersion: tls.VersionTLS12}, nil
}

// selfSignedMetricsCertificate has a certificate that was made a moment ago.
func selfSignedMetricsCertificate() (*tls.Config, error) {
	certificate, key, err := certutil.GenerateSelfSignedCertKeyWithFixtures("localhost", []net.IP{{127, 0, 0, 1}}, nil, "")
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
