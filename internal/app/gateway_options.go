// SPDX-License-Identifier: Apache-2.0

package app

import (
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
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
	limits       store.Limits

	first    publish.FirstAttempts
	replicas int

	skippedNamespace, skippedName string
}

// NewGatewayCommand is the role gateway as a subcommand.
func NewGatewayCommand() *cobra.Command {
	o := gatewayOptions{limits: store.DefaultLimits(), first: publish.DefaultFirstAttempts()}
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
