// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	interval = 30 * time.Second
	timeout  = 2 * time.Second
)

// Addresses knows where the API server is, so that no webhook reaches
// it. It reads the EndpointSlices of the Service kubernetes.
type Addresses struct {
	Live client.Reader

	prefixes atomic.Pointer[[]netip.Prefix]
}

// Forbidden returns the addresses as they were last read.
func (a *Addresses) Forbidden() []netip.Prefix {
	if prefixes := a.prefixes.Load(); prefixes != nil {
		return *prefixes
	}
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (a *Addresses) NeedLeaderElection() bool { return false }

// Start keeps the addresses up to date until ctx ends.
func (a *Addresses) Start(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := a.Refresh(ctx); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "list the API server's addresses; the last known stay forbidden")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Refresh reads the addresses now.
func (a *Addresses) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var found discoveryv1.EndpointSliceList
	err := a.Live.List(ctx, &found, client.InNamespace("default"), client.MatchingLabels{discoveryv1.LabelServiceName: "kubernetes"})
	if err != nil {
		return err
	}
	var prefixes []netip.Prefix
	for i := range found.Items {
		for _, endpoint := range found.Items[i].Endpoints {
			for _, text := range endpoint.Addresses {
				if addr, err := netip.ParseAddr(text); err == nil {
					prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
				}
			}
		}
	}
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	prefixes = slices.Compact(prefixes)
	a.prefixes.Store(&prefixes)
	return nil
}
