// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/controllers"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/apiserver"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
	"bbmcp.quietstack.com/webhooks/internal/memory"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/profiling"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

// serverGrace is how long a scrape or a probe may still take when the manager ends.
const serverGrace = 5 * time.Second

// managerOptions are the flags of the role manager.
type managerOptions struct {
	kubeconfig       string
	dispatcherSocket string
	namespaces       []string
	logLevel         string

	metrics      metricsOptions
	probeAddress string
	pprofAddress string

	leaderElect             bool
	leaderElectionNamespace string
	skippedName             string
	leaseDuration           time.Duration
	renewDeadline           time.Duration
	retryPeriod             time.Duration

	unsettled      int
	perWebhook     int
	perDestination int
	workers        int
	drainGrace     time.Duration

	disableAfter time.Duration
	backlog      int
	fullFor      time.Duration
	retention    controllers.RetentionLimits
}

// NewManagerCommand is the role manager as a subcommand.
func NewManagerCommand() *cobra.Command {
	var o managerOptions
	command := &cobra.Command{
		Use:   "manager",
		Short: "Reconcile Webhooks and deliver WebhookDeliveries through a dispatcher",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return o.run(command.Context()) },
	}
	flags := command.Flags()
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; empty: $KUBECONFIG, or the Pod's ServiceAccount")
	flags.StringVar(&o.dispatcherSocket, "dispatcher-socket", "/run/bbmcp/dispatcher.sock", "unix socket of the dispatcher")
	flags.StringSliceVar(&o.namespaces, "namespaces", nil, "work in these namespaces only, on Roles there (default: all)")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	o.metrics.addFlags(flags)
	flags.StringVar(&o.probeAddress, "probe-address", ":8081", "address of /healthz and /readyz; 0 turns it off")
	flags.StringVar(&o.pprofAddress, "pprof-address", "0", "address of Go's profiles, on loopback only: it asks nobody for credentials; 0 turns it off")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "let one of several replicas work at a time")
	flags.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "", "namespace of the lease, and of the ConfigMap by which gateways tell what webhooks did not get (default: the Pod's)")
	flags.StringVar(&o.skippedName, "skipped-configmap", skipped.ConfigMap, "name of that ConfigMap")
	flags.DurationVar(&o.leaseDuration, "lease-duration", 30*time.Second, "how long others wait for a leader that is silent")
	flags.DurationVar(&o.renewDeadline, "renew-deadline", 20*time.Second, "how long a leader goes on without renewing its lease")
	flags.DurationVar(&o.retryPeriod, "retry-period", 4*time.Second, "how often the lease is renewed or asked for")
	flags.IntVar(&o.unsettled, "unsettled", 512, "most attempts whose result the API server has not acknowledged: what a crash can repeat")
	flags.IntVar(&o.perWebhook, "per-webhook", 32, "most attempts of one webhook at a time")
	flags.IntVar(&o.perDestination, "per-destination", 64, "most attempts to one host:port at a time, for all webhooks together")
	flags.IntVar(&o.workers, "workers", 16, "deliveries that are reconciled at a time")
	flags.DurationVar(&o.drainGrace, "drain-grace", 40*time.Second, "how long attempts in flight and their results may take after SIGTERM; at least the longest timeout and 10s")
	flags.DurationVar(&o.disableAfter, "disable-after", health.DefaultDisableAfter, "disable a webhook whose deliveries have failed for so long without a success; 0: never")
	flags.IntVar(&o.backlog, "backlog-per-webhook", 2000, "unfinished deliveries at which a webhook's backlog counts as full")
	flags.DurationVar(&o.fullFor, "backlog-full-for", 5*time.Minute, "how long a webhook's backlog counts as full after a gateway last skipped the webhook")
	flags.DurationVar(&o.retention.Succeeded, "retain-succeeded", time.Hour, "how long succeeded deliveries are kept at most")
	flags.DurationVar(&o.retention.Failed, "retain-failed", 7*24*time.Hour, "how long failed deliveries are kept at most")
	flags.IntVar(&o.retention.MaxCount, "retain-count", 1000, "succeeded deliveries, and failed ones, kept for each webhook")
	flags.Int64Var(&o.retention.MaxBytes, "retain-bytes", 32<<20, "bytes of payload of finished deliveries kept for each webhook")
	flags.IntVar(&o.retention.PerNamespace.Count, "retain-count-per-namespace", 10_000, "finished deliveries kept for each namespace, those made by hand included; 0: no bound")
	flags.Int64Var(&o.retention.PerNamespace.Bytes, "retain-bytes-per-namespace", 128<<20, "bytes of finished deliveries kept for each namespace, payload and 2 KiB for each, those made by hand included; 0: no bound")
	flags.IntVar(&o.retention.Total.Count, "retain-count-total", 50_000, "finished deliveries kept for all namespaces together; 0: no bound")
	flags.Int64Var(&o.retention.Total.Bytes, "retain-bytes-total", 512<<20, "bytes of finished deliveries kept for all namespaces together, payload and 2 KiB for each; 0: no bound")
	return command
}

func (o *managerOptions) run(ctx context.Context) error {
	logger, err := setLogger(o.logLevel)
	if err != nil {
		return err
	}
	tracer, stopTraces, err := startTracing(ctx, "bbmcp-manager", logger)
	if err != nil {
		return err
	}
	defer stopTraces()
	memory.LimitToContainer(logger)
	memory.CollectOften()
	go memory.ReleaseIdle(ctx)
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	lease, err := o.newLease(config)
	if err != nil {
		return err
	}
	mgr, err := o.newManager(config, lease)
	if err != nil {
		return fmt.Errorf("set up manager: %w", err)
	}
	all, err := o.setUp(ctx, mgr, lease, tracer, newPanicGuard(logger))
	if err != nil {
		return err
	}
	stopProfiles, err := profiling.Serve(ctx, o.pprofAddress)
	if err != nil {
		return fmt.Errorf("--pprof-address %w", err)
	}
	defer stopProfiles()
	err = mgr.Start(ctx)
	// A manager that loses leadership stops at once. Attempts under way still end, and
	// their outcomes are written, in what is left of the same time.
	if drainErr := all.Drain(context.WithoutCancel(ctx), o.drainGrace); err == nil {
		err = drainErr
	}
	return err
}

func (o *managerOptions) newManager(config *rest.Config, lease *lease) (manager.Manager, error) {
	options := ctrl.Options{
		Scheme:         newScheme(),
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return newMapper(), nil },
		NewClient: func(config *rest.Config, options client.Options) (client.Client, error) {
			return newClient(config, options)
		},
		Cache:                   o.cacheOptions(),
		Client:                  client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &v1alpha1.WebhookDelivery{}}}},
		HealthProbeBindAddress:  "0", // its servers, and that of metrics, let peers take any time they like
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		GracefulShutdownTimeout: new(o.drainGrace + serverGrace),
	}
	if lease != nil {
		options.LeaderElection = true
		options.LeaderElectionResourceLockInterface = lease
		options.LeaderElectionID = leaseName
		options.LeaderElectionReleaseOnCancel = true
		options.LeaseDuration, options.RenewDeadline, options.RetryPeriod = &o.leaseDuration, &o.renewDeadline, &o.retryPeriod
	}
	return ctrl.NewManager(config, options)
}

func (o *managerOptions) cacheOptions() cache.Options {
	options := cache.Options{DefaultTransform: cache.TransformStripManagedFields()}
	for _, namespace := range o.namespaces {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options
}

// serve adds the servers of metrics and of probes.
func (o *managerOptions) serve(ctx context.Context, mgr manager.Manager, p probes) error {
	serverMetrics := httpserver.NewMetrics(metrics.Registry)
	access, err := newCallerAccess(mgr.GetConfig())
	if err != nil {
		return err
	}
	server, listener, err := o.metrics.listen(ctx, access, serverMetrics, nil)
	if err != nil {
		return err
	}
	if err := addServer(mgr, "metrics", server, listener); err != nil {
		return err
	}
	if server, listener, err = p.listen(o.probeAddress, serverMetrics); err != nil {
		return err
	}
	return addServer(mgr, "probes", server, listener)
}

// setUp adds the controllers, their servers and probes to the manager.
func (o *managerOptions) setUp(ctx context.Context, mgr manager.Manager, lease *lease, tracer *tracing.Tracer, guard *panics.Guard) (*controllers.Controllers, error) {
	deliveryCache, sync, err := controllers.NewDeliveryCache(ctx, mgr, o.cacheOptions())
	if err != nil {
		return nil, err
	}
	cachesReady, err := cacheProbe(ctx, mgr, deliveryCache)
	if err != nil {
		return nil, err
	}
	sidecar := dispatcher.NewClient(o.dispatcherSocket)
	addresses := &apiserver.Addresses{Live: mgr.GetAPIReader(), Hosts: apiserver.Hosts(mgr.GetConfig().Host, os.Getenv)}
	if err := mgr.Add(addresses); err != nil {
		return nil, fmt.Errorf("set up manager: %w", err)
	}
	all, err := controllers.Setup(mgr, controllers.Options{
		Deliveries: deliveryCache, Sync: sync, Sender: tracer.Sender(sidecar), URLs: sidecar,
		Gate:      func() bool { return lease.isFresh() && addresses.Complete() },
		Forbidden: addresses.Forbidden, Namespaces: o.namespaces,
		Unsettled: o.unsettled, PerWebhook: o.perWebhook, PerDestination: o.perDestination, Workers: o.workers, DrainGrace: o.drainGrace,
		DisableAfter: o.disableAfter, BacklogLimit: o.backlog, BacklogFullFor: o.fullFor, Retention: o.retention,
		Skipped:  client.ObjectKey{Namespace: cmp.Or(o.leaderElectionNamespace, podNamespace()), Name: o.skippedName},
		Registry: metrics.Registry, Panics: guard, Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		return nil, err
	}
	err = o.serve(ctx, mgr, probes{
		live:  map[string]healthz.Checker{"ping": healthz.Ping},
		ready: map[string]healthz.Checker{"caches": cachesReady, "dispatcher": dispatcherProbe(sidecar)},
	})
	if err != nil {
		return nil, fmt.Errorf("set up manager: %w", err)
	}
	return all, nil
}

// addServer lets a manager run a server until all else has ended.
func addServer(mgr manager.Manager, name string, server *httpserver.Server, listener net.Listener) error {
	if server == nil {
		return nil
	}
	standard, bounded := server.Parts(listener)
	return mgr.Add(&manager.Server{Name: name, Server: standard, Listener: bounded, ShutdownTimeout: new(serverGrace)})
}
