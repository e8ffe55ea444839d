// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
)

// Resolver looks up the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// absoluteResolver looks names up as they are written. A Pod's resolv.conf lets every name
// with fewer than five dots go through the search list first: four times the
// questions, and a domain in the list that answers to everything wins over the
// endpoint.
type absoluteResolver struct{ resolver *net.Resolver }

// LookupNetIP implements Resolver. A name that ends in .svc, which nothing outside
// of a cluster does, is completed by the search list once it is known not to exist.
func (a absoluteResolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if strings.HasSuffix(host, ".") {
		return a.resolver.LookupNetIP(ctx, network, host)
	}
	addrs, err := a.resolver.LookupNetIP(ctx, network, host+".")
	if failed, ok := errors.AsType[*net.DNSError](err); ok && failed.IsNotFound && strings.HasSuffix(strings.ToLower(host), ".svc") {
		return a.resolver.LookupNetIP(ctx, network, host)
	}
	return addrs, err
}
