// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway"
	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/internal/apiserver"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
	"bbmcp.quietstack.com/webhooks/internal/memory"
	"bbmcp.quietstack.com/webhooks/internal/profiling"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
	"bbmcp.quietstack.com/webhooks/internal/version"
)

const (
	// settleGrace is how long first attempts that were handed over may take to be
	// settled though requests took all of --drain-grace.
	settleGrace = 5 * time.Second
	// bodyShare is the share of the memory limit for bodies of requests; where there is
	// no limit they get assumedBodies.
	bodyShare     = 0.25
	assumedBodies = 128 << 20
)

func (o *gatewayOptions) run(ctx context.Context) error {
	logger, err := setLogger(o.logLevel)
	if err != nil {
		return err
	}
	memory.LimitToContainer(logger)
	memory.CollectRarely()
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	// Background work goes on until the server has answered its last request.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go memory.ReleaseIdle(background)
	tracer, stopTraces, err := startTraces(ctx, "bbmcp-gateway", logger)
	if err != nil {
		return err
	}
	defer stopTraces()
	sidecar := dispatcher.NewClient(o.dispatcherSocket)
	accessLog, flush, err := newAccessLog(o.logLevel)
	if err != nil {
		return err
	}
	defer flush()
	access, err := newCallerAccess(config)
	if err != nil {
		return err
	}
	g, err := o.newGateway(background, config, sidecar, gateway.Options{
		Tokens: access.tokens, Rights: access.rights, Tracer: tracer, Panics: newGuard(logger), Logger: logger, AccessLog: accessLog,
	})
	if err != nil {
		return err
	}
	metrics.Registry.MustRegister(gateway.BacklogCollector{Backlog: g.Backlog, Limits: o.limits})
	g.Start(background)
	failed := make(chan error, 2)
	serverMetrics := httpserver.NewMetrics(metrics.Registry)
	stopMetrics, err := o.serveMetrics(background, access, serverMetrics, logger, failed)
	if err != nil {
		return err
	}
	defer stopMetrics()
	var draining atomic.Bool
	server, err := o.listen(background, httpserver.Options{
		Listener: "api", Connections: o.connections, IdleTimeout: o.idleTimeout, Logger: logger, Metrics: serverMetrics,
		Handler: g.Handler(readiness(sidecar, &draining)),
	}, failed)
	if err != nil {
		return err
	}
	server.OnShutdown(g.Close)
	logger.Info("gateway is listening", "address", o.address, "tls", o.certificate != "", "version", version.Version)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	draining.Store(true)
	return o.drain(server, g, stop)
}

// newGateway makes a gateway with options that the flags complete.
func (o *gatewayOptions) newGateway(ctx context.Context, config *rest.Config, sidecar *dispatcher.Client, options gateway.Options) (*gateway.Gateway, error) {
	switch {
	case o.replicas < 1:
		return nil, errors.New("--replicas: must be at least 1")
	case o.connections < 1:
		return nil, errors.New("--connections: must be at least 1")
	case o.limits.WritesPerNamespace < 1:
		return nil, errors.New("--writes-per-namespace: must be at least 1")
	case o.limits.WriteBytesPerNamespace < publish.LeastWriteBytes:
		return nil, fmt.Errorf("--write-bytes-per-namespace: must be at least %d, one payload", publish.LeastWriteBytes)
	case o.idleTimeout < time.Second:
		return nil, errors.New("--idle-timeout: must be at least 1s")
	}
	var err error
	if options.TrustedProxies, err = httpserver.ParseProxies(o.proxies); err != nil {
		return nil, fmt.Errorf("--trusted-proxies %w", err)
	}
	if options.Client, err = newClient(config, client.Options{Scheme: newScheme(), Mapper: newMapper()}); err != nil {
		return nil, fmt.Errorf("set up gateway: %w", err)
	}
	addresses := &apiserver.Addresses{Live: options.Client, Hosts: apiserver.Hosts(config.Host, os.Getenv)}
	go func() { _ = addresses.Start(ctx) }() // ends with ctx, without an error
	o.first.Records.Total /= float64(o.replicas)
	options.Config, options.Dispatcher, options.Forbidden = config, guardedDispatcher{options.Tracer.Sender(sidecar), addresses.Complete}, addresses.Forbidden
	options.Namespaces, options.Limits, options.BodyBytes = o.namespaces, o.limits, cmp.Or(o.bodyBytes, memory.Share(bodyShare, assumedBodies))
	options.Skipped = client.ObjectKey{Namespace: cmp.Or(o.skippedNamespace, podNamespace()), Name: o.skippedName}
	if options.Replica, err = os.Hostname(); err != nil {
		return nil, fmt.Errorf("name this replica: %w", err)
	}
	options.AllowUnregistered, options.Dashboard, options.First = o.unregistered, o.dashboard, o.first
	options.Metrics, options.Now, options.Random = gateway.NewMetrics(metrics.Registry), time.Now, rand.Reader
	return gateway.New(options)
}

// guardedDispatcher is a dispatcher that gets nothing until the API server's addresses are
// known, which it must not reach.
type guardedDispatcher struct {
	tracing.Dispatcher
	addressesKnown func() bool
}

var errAddressesUnknown = fmt.Errorf("%w: the API server's addresses are not known yet", dispatcher.ErrUnavailable)

// Start makes one attempt; see dispatcher.Client.
func (c guardedDispatcher) Start(request dispatcher.Request, done func(dispatcher.Result, error)) {
	if !c.addressesKnown() {
		done(dispatcher.Result{}, errAddressesUnknown)
		return
	}
	c.Dispatcher.Start(request, done)
}

// CheckURL says whether a URL may be an endpoint; see dispatcher.Client.
func (c guardedDispatcher) CheckURL(ctx context.Context, url string, forbidden []netip.Prefix) error {
	if !c.addressesKnown() {
		return errAddressesUnknown
	}
	return c.Dispatcher.CheckURL(ctx, url, forbidden)
}

// listen begins to serve; failed hears of the end.
func (o *gatewayOptions) listen(ctx context.Context, options httpserver.Options, failed chan<- error) (*httpserver.Server, error) {
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		return nil, fmt.Errorf("--address %s: %w", o.address, err)
	}
	if o.certificate != "" {
		if options.TLS, err = watchedCertificate(ctx, o.certificate, o.key); err != nil {
			return nil, fmt.Errorf("--tls-cert-file, --tls-key-file: %w", err)
		}
	}
	server := httpserver.New(options)
	go func() {
		if err := server.Serve(listener); err != nil {
			failed <- err
		}
	}()
	return server, nil
}

// serveMetrics serves /metrics and profiles until stop is called; failed hears if that of
// /metrics ends before.
func (o *gatewayOptions) serveMetrics(ctx context.Context, access *callerAccess, serverMetrics *httpserver.Metrics, logger *slog.Logger, failed chan<- error) (stop func(), err error) {
	stopProfiles, err := profiling.Serve(ctx, o.pprofAddress)
	if err != nil {
		return nil, fmt.Errorf("--pprof-address %w", err)
	}
	server, listener, err := o.metrics.listen(ctx, access, serverMetrics, logger)
	if err != nil {
		stopProfiles()
		return nil, err
	}
	if server == nil {
		return stopProfiles, nil
	}
	go func() {
		if err := server.Serve(listener); err != nil {
			failed <- err
		}
	}()
	return func() {
		server.Close()
		stopProfiles()
	}, nil
}

// drain takes requests until the load balancers know that this replica ends, then
// lets those under way finish, and what they began, and says what of that it had to
// cut off. stop ends background work.
func (o *gatewayOptions) drain(server *httpserver.Server, g *gateway.Gateway, stop func()) error {
	server.Retire()
	time.Sleep(o.drainDelay)
	end := time.Now().Add(o.drainGrace)
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	var err error
	if cut := server.Shutdown(ctx); cut > 0 {
		err = fmt.Errorf("%d requests were still under way after --drain-grace and were cut off", cut)
	}
	settle, cancel := context.WithTimeout(context.Background(), max(time.Until(end), settleGrace))
	defer cancel()
	err = errors.Join(err, g.Drain(settle))
	stop()
	g.Wait()
	return err
}
