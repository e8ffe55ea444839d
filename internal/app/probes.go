// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
)

// sidecarTimeout bounds the question to the dispatcher within a probe.
const sidecarTimeout = 800 * time.Millisecond

var (
	errSidecarSilent = errors.New("the dispatcher does not answer on its socket")
	errEnding        = errors.New("this replica is about to end")
	errCachesFilling = errors.New("webhooks, event types or deliveries are still being read")
)

// probeDispatcher returns nil if the sidecar takes attempts.
func probeDispatcher(ctx context.Context, sidecar *dispatcher.Client) error {
	ctx, cancel := context.WithTimeout(ctx, sidecarTimeout)
	defer cancel()
	if sidecar.Ready(ctx) != nil {
		return errSidecarSilent
	}
	return nil
}

// gatewayReadinessProbe is the readiness of a gateway, apart from its caches.
func gatewayReadinessProbe(sidecar *dispatcher.Client, draining *atomic.Bool) func(context.Context) error {
	return func(ctx context.Context) error {
		if draining.Load() {
			return errEnding
		}
		return probeDispatcher(ctx, sidecar)
	}
}

// dispatcherProbe is ready when the sidecar takes attempts.
func dispatcherProbe(sidecar *dispatcher.Client) healthz.Checker {
	return func(request *http.Request) error { return probeDispatcher(request.Context(), sidecar) }
}

// cacheProbe is ready when what a manager reads is in memory. A standby replica
// reads webhooks and event types, a leader deliveries too.
func cacheProbe(ctx context.Context, mgr manager.Manager, deliveryCache cache.Cache) (healthz.Checker, error) {
	var standby, leader []cache.Informer
	for _, watched := range []struct {
		from   cache.Cache
		object client.Object
		into   *[]cache.Informer
	}{
		{mgr.GetCache(), &v1alpha1.Webhook{}, &standby},
		{mgr.GetCache(), &v1alpha1.EventType{}, &standby},
		{deliveryCache, &v1alpha1.WebhookDelivery{}, &leader},
	} {
		informer, err := watched.from.GetInformer(ctx, watched.object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("set up cache of %T: %w", watched.object, err)
		}
		*watched.into = append(*watched.into, informer)
	}
	return func(*http.Request) error {
		needed := standby
		select {
		case <-mgr.Elected():
			needed = slices.Concat(standby, leader)
		default:
		}
		for _, informer := range needed {
			if !informer.HasSynced() {
				return errCachesFilling
			}
		}
		return nil
	}, nil
}

// probes are what kubelet asks a manager.
type probes struct{ live, ready map[string]healthz.Checker }

func (p probes) handler() http.Handler {
	mux := http.NewServeMux()
	for path, checks := range map[string]map[string]healthz.Checker{"/healthz": p.live, "/readyz": p.ready} {
		all := http.StripPrefix(path, &healthz.Handler{Checks: checks})
		mux.Handle(path, all)
		mux.Handle(path+"/", all)
	}
	return mux
}

// listen begins to listen, and returns what answers; nil: there are no probes.
func (p probes) listen(address string, serverMetrics *httpserver.Metrics) (*httpserver.Server, net.Listener, error) {
	if address == "0" || address == "" {
		return nil, nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("--probe-address %s: %w", address, err)
	}
	return httpserver.New(httpserver.Options{Listener: "probes", Handler: p.handler(), Metrics: serverMetrics}), listener, nil
}
