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
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway"
	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/apiserver"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
	"bbmcp.quietstack.com/webhooks/internal/memory"
	"bbmcp.quietstack.com/webhooks/internal/profiling"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
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

// gatewayOptions are the flags of the role gateway.
type gatewayOptions struct {
	kubeconfig       string
	dispatcherSocket string
	namespaces       []string
	logLevel         string

	address     string
	certificate string
	key         string
	proxies     []string
	drainDelay  time.Duration
	drainGrace  time.Duration
	connections int
	idleTimeout time.Duration
	bodyBytes   int64

	metrics      metricsOptions
	pprofAddress string

	dashboard    bool
	unregistered bool
	limits       store.BacklogLimits

	first    publish.FirstAttempts
	replicas int

	skippedNamespace, skippedName string
}

// NewGatewayCommand is the role gateway as a subcommand.
func NewGatewayCommand() *cobra.Command {
	o := gatewayOptions{limits: store.DefaultBacklogLimits(), first: publish.DefaultFirstAttempts()}
	command := &cobra.Command{
		Use:   "gateway",
		Short: "Serve the REST API: manage webhooks, publish events, follow deliveries",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return o.run(command.Context()) },
	}
	flags := command.Flags()
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; empty: $KUBECONFIG, or the Pod's ServiceAccount")
	flags.StringVar(&o.dispatcherSocket, "dispatcher-socket", "/run/bbmcp/dispatcher.sock", "unix socket of the dispatcher")
	flags.StringSliceVar(&o.namespaces, "namespaces", nil, "serve these namespaces only, on Roles there (default: all)")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&o.address, "address", ":8080", "address of the REST API, /healthz and /readyz")
	flags.StringVar(&o.certificate, "tls-cert-file", "", "PEM file with the certificate of the REST API, read again when it changes (default: no TLS)")
	flags.StringVar(&o.key, "tls-key-file", "", "PEM file with the key of that certificate")
	flags.StringSliceVar(&o.proxies, "trusted-proxies", nil, "addresses or ranges of proxies in front, whose X-Forwarded-For says where a request comes from")
	flags.DurationVar(&o.drainDelay, "drain-delay", 15*time.Second, "how long requests are still taken after SIGTERM while /readyz says no and answers ask clients to connect anew: as long as load balancers take to hear of it")
	flags.DurationVar(&o.drainGrace, "drain-grace", 30*time.Second, "how long requests under way may take after that")
	flags.IntVar(&o.connections, "connections", httpserver.DefaultConnections, "most connections of clients at a time; beyond it one without a request makes room for a new one")
	flags.DurationVar(&o.idleTimeout, "idle-timeout", httpserver.DefaultIdleTimeout, "how long a connection without a request is kept; longer than load balancers keep theirs, or requests meet closed connections")
	flags.Int64Var(&o.bodyBytes, "body-bytes", 0, "most bytes of request bodies in memory at a time; one caller gets an eighth of it (default a quarter of the memory limit, of 512 MiB where there is none)")
	o.metrics.addFlags(flags)
	flags.BoolVar(&o.dashboard, "dashboard", true, "serve the dashboard at /dashboard")
	flags.StringVar(&o.pprofAddress, "pprof-address", "0", "address of Go's profiles, on loopback only: it asks nobody for credentials; 0 turns it off")
	flags.BoolVar(&o.unregistered, "allow-unregistered-event-types", false, "accept events whose type no EventType defines")
	flags.IntVar(&o.limits.PerWebhook, "backlog-per-webhook", o.limits.PerWebhook, "unfinished deliveries of one webhook, beside a fifth of its namespace's limits")
	flags.IntVar(&o.limits.PerNamespace, "backlog-per-namespace", o.limits.PerNamespace, "unfinished deliveries of one namespace")
	flags.Int64Var(&o.limits.PerNamespaceBytes, "backlog-bytes-per-namespace", o.limits.PerNamespaceBytes, "bytes of payload of the unfinished deliveries of one namespace")
	flags.IntVar(&o.limits.Cluster, "backlog", o.limits.Cluster, "unfinished deliveries of all namespaces together")
	flags.Int64Var(&o.limits.ClusterBytes, "backlog-bytes", o.limits.ClusterBytes, "bytes of payload of the unfinished deliveries of all namespaces together")
	flags.Float64Var(&o.limits.WritesPerNamespace, "writes-per-namespace", o.limits.WritesPerNamespace, "deliveries of one namespace that a replica stores a second, in the long run; ten times as many at once; one counts once more for each 16 KiB of its payload")
	flags.Int64Var(&o.limits.WriteBytesPerNamespace, "write-bytes-per-namespace", o.limits.WriteBytesPerNamespace, "bytes of payload of one namespace that a replica stores, or may have to, a second in the long run; four times as many at once")
	flags.DurationVar(&o.first.Wait, "first-attempt-wait", o.first.Wait, "how long a publisher waits for the first attempt, which the gateway makes before anything is stored; 0: everything is stored first")
	flags.IntVar(&o.first.Slots, "first-attempts", o.first.Slots, "most first attempts at a time; half as many beside these are for webhooks not known to answer in time")
	flags.IntVar(&o.first.PerWebhook, "first-attempts-per-webhook", o.first.PerWebhook, "most first attempts of one webhook at a time")
	flags.IntVar(&o.first.PerDestination, "first-attempts-per-destination", o.first.PerDestination, "most first attempts to one host:port at a time, for all webhooks together")
	flags.Float64Var(&o.first.Records.Rate, "record-rate", o.first.Records.Rate, "deliveries of one webhook a second that succeed at the first attempt and become objects; the others are counted")
	flags.IntVar(&o.first.Records.Burst, "record-burst", o.first.Records.Burst, "how many of them may at once; twice as many for all webhooks together")
	flags.Float64Var(&o.first.Records.Total, "record-rate-total", o.first.Records.Total, "how many of them a second for all webhooks and all replicas together; namespaces that want more share it evenly")
	flags.StringVar(&o.skippedNamespace, "skipped-namespace", "", "namespace of the ConfigMap by which the manager is told what webhooks did not get (default: the Pod's)")
	flags.StringVar(&o.skippedName, "skipped-configmap", skipped.ConfigMap, "name of that ConfigMap")
	flags.IntVar(&o.replicas, "replicas", 1, "number of gateway replicas, which share --record-rate-total evenly")
	flags.DurationVar(&o.first.Dedup.Duration, "remember-for", o.first.Dedup.Duration, "how long the id of an event without an object is remembered, so that repeating it sends nothing twice")
	flags.IntVar(&o.first.Dedup.Events, "remember-most", o.first.Dedup.Events, "most ids that are remembered; the namespace that has most of them forgets its oldest first")
	flags.Int64Var(&o.first.Dedup.Bytes, "remember-bytes", o.first.Dedup.Bytes, "most bytes of memory that they may take, with who got each: some 120 an id")
	command.MarkFlagsRequiredTogether("tls-cert-file", "tls-key-file")
	return command
}

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
	tracer, stopTraces, err := startTracing(ctx, "bbmcp-gateway", logger)
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
		Tokens: access.tokens, Rights: access.rights, Tracer: tracer, Panics: newPanicGuard(logger), Logger: logger, AccessLog: accessLog,
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
		Handler: g.Handler(gatewayReadinessProbe(sidecar, &draining)),
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
	options.Namespaces, options.Limits, options.BodyBytes = o.namespaces, o.limits, cmp.Or(o.bodyBytes, memory.ShareOfLimit(bodyShare, assumedBodies))
	options.Skipped = client.ObjectKey{Namespace: cmp.Or(o.skippedNamespace, podNamespace()), Name: o.skippedName}
	if options.Replica, err = os.Hostname(); err != nil {
		return nil, fmt.Errorf("name this replica: %w", err)
	}
	options.AllowUnregistered, options.Dashboard, options.First = o.unregistered, o.dashboard, o.first
	options.Metrics, options.Now, options.Random = gateway.NewMetrics(metrics.Registry), time.Now, rand.Reader
	return gateway.New(options)
}

var errAddressesUnknown = fmt.Errorf("%w: the API server's addresses are not known yet", dispatcher.ErrUnavailable)

// listen begins to serve; failed hears of the end.
func (o *gatewayOptions) listen(ctx context.Context, options httpserver.Options, failed chan<- error) (*httpserver.Server, error) {
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		return nil, fmt.Errorf("--address %s: %w", o.address, err)
	}
	if o.certificate != "" {
		if options.TLS, err = watchedMetricsCertificate(ctx, o.certificate, o.key); err != nil {
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
