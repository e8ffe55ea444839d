// SPDX-License-Identifier: Apache-2.0

package app

import (
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/controllers"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
)

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
