// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
	"bbmcp.quietstack.com/webhooks/internal/memory"
	"bbmcp.quietstack.com/webhooks/internal/profiling"
	"bbmcp.quietstack.com/webhooks/internal/version"
)

const (
	// scrapesAtOnce bounds how many are answered at a time: who scrapes is not asked who
	// it is.
	scrapesAtOnce = 4
	// payloadShare is what the payloads of attempts in flight may take of the memory
	// limit. As much again is for the connections of the attempts, and the rest for
	// what is not collected yet.
	payloadShare = 0.4
	// payloadBytes is the same where no limit is known: that of the limit which the
	// manifests set.
	payloadBytes = 92 << 20
	// headroom is by how much the heap may grow beyond what is in use before it is
	// collected.
	headroom = 48 << 20
)

func main() {
	options, err := parseFlags(os.Args[0], os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2)
	}
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: options.logLevel}))
	slog.SetDefault(logger) // package net/http writes to the default logger
	memory.LimitToContainer(logger)
	memory.CollectRarelyWithin(headroom)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go memory.ReleaseIdle(ctx)
	if err := runDispatcher(ctx, options, logger); err != nil {
		logger.Error("dispatcher ended", "error", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// runDispatcher serves attempts until ctx ends, then drains.
func runDispatcher(ctx context.Context, o *options, logger *slog.Logger) error {
	roots, err := caBundleRoots(o.caBundle)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	sender, err := dispatcher.NewSender(dispatcher.SenderOptions{
		Policy: netguard.New(netguard.Options{
			Allow: o.allow, Deny: o.deny, ControlPlane: controlPlanePrefixes(os.Getenv), AllowHTTP: o.allowHTTP, Domains: resolverSearchDomains(resolverFile),
		}),
		RootCAs:        roots,
		UserAgent:      "BBMCP-Webhooks/" + version.Version,
		Snippets:       o.snippets,
		ExplainAllowed: o.explainAllowed,
		Registerer:     registry,
		Logger:         logger,
	})
	if err != nil {
		return err
	}
	listener, err := listenDispatcherSocket(o.socket)
	if err != nil {
		return err
	}
	// Probes and metrics outlive the signal: they tell of the drain.
	stopMetrics, err := serveDispatcherMetrics(ctx, o.metricsAddress, registry)
	if err != nil {
		_ = listener.Close()
		return err
	}
	defer stopMetrics()
	stopProfiles, err := profiling.Serve(ctx, o.pprofAddress)
	if err != nil {
		_ = listener.Close()
		return fmt.Errorf("--pprof-address %w", err)
	}
	defer stopProfiles()
	logger.Info("serving", "version", version.Version, "socket", o.socket)
	server := dispatcher.NewServer(sender, logger)
	server.PayloadBytes = memory.ShareOfLimit(payloadShare, payloadBytes)
	err = server.Serve(ctx, listener, o.shutdownGrace)
	logger.Info("stopped serving")
	return err
}

// controlPlanePrefixes is the address of the Service kubernetes, as a kubelet tells every
// container. Manager and gateway name it with each request, and what else they
// find out; this one holds if they do not.
func controlPlanePrefixes(getenv func(string) string) []netip.Prefix {
	addr, err := netip.ParseAddr(getenv("KUBERNETES_SERVICE_HOST"))
	if err != nil {
		return nil
	}
	return []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}
}

// listenDispatcherSocket takes the socket over from a dispatcher that died without removing it.
// Manager and dispatcher run under one user, so no one else gets access.
func listenDispatcherSocket(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("socket %s: another dispatcher is serving", path)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("socket %s: a file that is no socket is in the way", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove stale socket: %w", err)
		}
	}
	mask := syscall.Umask(0o177)
	listener, err := net.Listen("unix", path)
	syscall.Umask(mask)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, nil
}

// serveDispatcherMetrics offers metrics and probes, and nothing else, on a TCP address;
// "" or "0" turns it off.
func serveDispatcherMetrics(ctx context.Context, address string, registry *prometheus.Registry) (stop func(), err error) {
	if address == "" || address == "0" {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesAtOnce}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ctx.Err() != nil {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	server := httpserver.New(httpserver.Options{Listener: "metrics", Handler: mux, Metrics: httpserver.NewMetrics(registry)})
	go func() { _ = server.Serve(listener) }() // it can only be closed
	return server.Close, nil
}
