// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
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
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
	"bbmcp.quietstack.com/webhooks/internal/memory"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/profiling"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
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

func newManagerCommand() *cobra.Command {
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
	tracer, stopTraces, err := startTraces(ctx, "bbmcp-manager", logger)
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
	deliveries, err := o.setUp(ctx, mgr, lease, tracer, guard(logger))
	if err != nil {
		return err
	}
	stopProfiles, err := profiling.Serve(ctx, o.pprofAddress)
	if err != nil {
		return fmt.Errorf("--pprof-address %w", err)
	}
	defer stopProfiles()
	err = mgr.Start(ctx)
	// With the leadership lost the manager stops at once. What is in flight is
	// still let finish, and written, in what is left of the same time.
	if drainErr := deliveries.Drain(context.WithoutCancel(ctx), o.drainGrace); err == nil {
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

// newDeliveryCache makes a cache that is filled once leadership is won, so that it
// shows all that a former leader wrote; see docs/adr/0002-fill-the-delivery-cache-as-leader.md.
func (o *managerOptions) newDeliveryCache(ctx context.Context, mgr manager.Manager) (cache.Cache, *controllers.ProgressiveSync, error) {
	options := o.cacheOptions()
	options.Scheme, options.Mapper, options.HTTPClient = mgr.GetScheme(), mgr.GetRESTMapper(), mgr.GetHTTPClient()
	filling := &controllers.ProgressiveSync{}
	deliveries, err := cache.New(mgr.GetConfig(), controllers.DeliveryCacheOptions(options, filling))
	if err != nil {
		return nil, nil, fmt.Errorf("set up delivery cache: %w", err)
	}
	if err := controllers.IndexDeliveries(ctx, deliveries); err != nil {
		return nil, nil, fmt.Errorf("index deliveries: %w", err)
	}
	return deliveries, filling, nil
}

// serve adds the servers of metrics and of probes.
func (o *managerOptions) serve(ctx context.Context, mgr manager.Manager, p probes) error {
	counted := httpserver.NewMetrics(metrics.Registry)
	who, err := newAccess(mgr.GetConfig())
	if err != nil {
		return err
	}
	server, listener, err := o.metrics.listen(ctx, who, counted, nil)
	if err != nil {
		return err
	}
	if err := addServer(mgr, "metrics", server, listener); err != nil {
		return err
	}
	if server, listener, err = p.listen(o.probeAddress, counted); err != nil {
		return err
	}
	return addServer(mgr, "probes", server, listener)
}

// setUp wires the reconcilers together.
func (o *managerOptions) setUp(ctx context.Context, mgr manager.Manager, lease *lease, tracer *tracing.Tracer, guarded *panics.Guard) (*controllers.DeliveryReconciler, error) {
	deliveryCache, filling, err := o.newDeliveryCache(ctx, mgr)
	if err != nil {
		return nil, err
	}
	filled, err := checkCaches(ctx, mgr, deliveryCache)
	if err != nil {
		return nil, err
	}
	sidecar := dispatcher.NewClient(o.dispatcherSocket)
	addresses := &apiserver.Addresses{Live: mgr.GetAPIReader(), Hosts: apiserver.Hosts(mgr.GetConfig().Host, os.Getenv)}
	meters := controllers.NewMetrics(metrics.Registry)
	observations := controllers.NewObservations(o.disableAfter, time.Now)
	secrets := signingsecret.NewReader(mgr.GetAPIReader(), time.Now)
	eventTypes := &controllers.EventTypeReconciler{Client: mgr.GetClient(), Now: time.Now}
	retainer := &controllers.Retainer{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Cached: deliveryCache, Sync: filling, WriteTimeouts: writetimeout.New(time.Now),
		Observations: observations, Limits: o.retention, Namespaces: o.namespaces, Metrics: meters, Panics: guarded, Now: time.Now,
	}
	deliveries := &controllers.DeliveryReconciler{
		Deliveries: deliveryCache, Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
		Secrets: secrets, Observations: observations, Retainer: retainer, Metrics: meters, Panics: guarded,
		Forbidden: addresses.Forbidden, Now: time.Now, Workers: o.workers,
	}
	runner := attempt.New(attempt.Options{
		Sender: controllers.GuardSender(tracer.Sender(sidecar), guarded), Wake: deliveries.Wake, WakeSlow: deliveries.WakeSlow,
		Gate:      func() bool { return lease.isFresh() && addresses.Complete() },
		Throttle:  func() bool { return !filling.Done() },
		Unsettled: o.unsettled, PerWebhook: o.perWebhook, PerDestination: o.perDestination,
	})
	deliveries.Runner = runner
	metrics.Registry.MustRegister(controllers.RunnerCollector{Stats: runner.Stats}, filling.Collector())
	webhooks := &controllers.WebhookReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Deliveries: deliveryCache, Sync: filling,
		Dispatcher: sidecar, Secrets: secrets, Observations: observations, Metrics: meters,
		Recorder: mgr.GetEventRecorder("bbmcp-webhooks"), BacklogLimit: o.backlog, BacklogFullFor: o.fullFor,
		Forbidden: addresses.Forbidden, Now: time.Now, Random: rand.Reader,
	}

	for _, step := range []func() error{
		func() error { return mgr.Add(addresses) },
		func() error { return mgr.Add(deliveryCache) },
		func() error { return mgr.Add(manager.RunnableFunc(runner.Run)) },
		func() error { return mgr.Add(retainer) },
		func() error { return o.collectSkipped(mgr, observations, meters, guarded) },
		func() error { return deliveries.DrainOnStop(mgr, o.drainGrace) },
		func() error { return deliveries.SetupWithManager(mgr) },
		func() error { return webhooks.SetupWithManager(mgr) },
		func() error { return eventTypes.SetupWithManager(mgr) },
		func() error {
			return o.serve(ctx, mgr, probes{
				live:  map[string]healthz.Checker{"ping": healthz.Ping},
				ready: map[string]healthz.Checker{"caches": filled, "dispatcher": checkDispatcher(sidecar)},
			})
		},
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("set up manager: %w", err)
		}
	}
	return deliveries, nil
}

// collectSkipped sets up what takes in the reports of the gateways.
func (o *managerOptions) collectSkipped(mgr manager.Manager, observations *controllers.Observations, meters *controllers.Metrics, guarded *panics.Guard) error {
	return mgr.Add(&controllers.SkippedCollector{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Observations: observations, Metrics: meters, Panics: guarded, Now: time.Now,
		Object: client.ObjectKey{Namespace: cmp.Or(o.leaderElectionNamespace, podNamespace()), Name: o.skippedName},
	})
}
