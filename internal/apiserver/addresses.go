// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	interval = 30 * time.Second
	// firstInterval is how long it takes until the next try while nothing has been
	// found out yet.
	firstInterval = time.Second
	timeout       = 2 * time.Second
)

// Addresses knows where the API server is, so that no webhook reaches it: by the
// hosts that its clients are told to use, and by the EndpointSlices of the Service
// kubernetes.
type Addresses struct {
	// Live reads the EndpointSlices.
	Live client.Reader
	// Hosts are addresses, which are forbidden from the start, and names; see Hosts.
	Hosts []string
	// LookUp finds the addresses of a name; nil for net.DefaultResolver.
	LookUp func(ctx context.Context, network, host string) ([]netip.Addr, error)

	prefixes atomic.Pointer[[]netip.Prefix]
	complete atomic.Bool

	mu     sync.Mutex
	named  map[string][]netip.Addr // what each name of Hosts was last found to be
	listed []netip.Addr
}

// Forbidden returns the addresses as they were last found.
func (a *Addresses) Forbidden() []netip.Prefix {
	if prefixes := a.prefixes.Load(); prefixes != nil {
		return *prefixes
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.publish()
}

// Complete reports whether what can be found out has been: the EndpointSlices were
// read once, or reading them is not allowed. Before that no attempt may be made.
func (a *Addresses) Complete() bool { return a.complete.Load() }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (a *Addresses) NeedLeaderElection() bool { return false }

// Start keeps the addresses up to date until ctx ends.
func (a *Addresses) Start(ctx context.Context) error {
	for {
		if err := a.Refresh(ctx); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "find the API server's addresses; the last known stay forbidden")
		}
		pause := interval
		if !a.Complete() {
			pause = firstInterval
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// Refresh finds the addresses now. What it cannot find out stays as it was.
func (a *Addresses) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	named, lookupErr := a.lookUp(ctx)
	listed, listErr := a.list(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.named == nil {
		a.named = map[string][]netip.Addr{}
	}
	maps.Copy(a.named, named)
	if listErr == nil {
		a.listed = listed
	}
	a.publish()
	if listErr == nil || apierrors.IsForbidden(listErr) {
		a.complete.Store(true) // asking again would not change a role
	}
	return errors.Join(lookupErr, listErr)
}

// publish makes one list of all that is known. The lock is held.
func (a *Addresses) publish() []netip.Prefix {
	var prefixes []netip.Prefix
	add := func(addr netip.Addr) {
		prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
	}
	for _, host := range a.Hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			add(addr.Unmap().WithZone(""))
		}
	}
	for _, addrs := range a.named {
		for _, addr := range addrs {
			add(addr)
		}
	}
	for _, addr := range a.listed {
		add(addr)
	}
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	prefixes = slices.Compact(prefixes)
	a.prefixes.Store(&prefixes)
	return prefixes
}

// lookUp returns the addresses of the hosts that are names.
func (a *Addresses) lookUp(ctx context.Context) (map[string][]netip.Addr, error) {
	find := a.LookUp
	if find == nil {
		find = net.DefaultResolver.LookupNetIP
	}
	found := map[string][]netip.Addr{}
	var errs []error
	for _, host := range a.Hosts {
		if _, err := netip.ParseAddr(host); err == nil {
			continue
		}
		addrs, err := find(ctx, "ip", host)
		if err != nil {
			errs = append(errs, fmt.Errorf("look up the API server's host: %w", err))
			continue
		}
		for _, addr := range addrs {
			if addr = addr.Unmap().WithZone(""); !addr.IsLoopback() {
				found[host] = append(found[host], addr)
			}
		}
	}
	return found, errors.Join(errs...)
}

// list returns the addresses in the EndpointSlices.
func (a *Addresses) list(ctx context.Context) ([]netip.Addr, error) {
	var found discoveryv1.EndpointSliceList
	err := a.Live.List(ctx, &found, client.InNamespace("default"), client.MatchingLabels{discoveryv1.LabelServiceName: "kubernetes"})
	if err != nil {
		return nil, fmt.Errorf("list the EndpointSlices of the Service kubernetes: %w", err)
	}
	var addrs []netip.Addr
	for i := range found.Items {
		for _, endpoint := range found.Items[i].Endpoints {
			for _, text := range endpoint.Addresses {
				if addr, err := netip.ParseAddr(text); err == nil {
					addrs = append(addrs, addr.Unmap())
				}
			}
		}
	}
	return addrs, nil
}
