// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// forwardedHops bounds how many addresses of a header are looked at.
const forwardedHops = 32

// Proxies are the addresses of proxies whose X-Forwarded headers count.
type Proxies []netip.Prefix

// ParseProxies reads addresses and ranges.
func ParseProxies(texts []string) (Proxies, error) {
	var all Proxies
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if address, addressErr := netip.ParseAddr(text); err != nil && addressErr == nil {
			prefix, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%q: want an address or a range such as 10.0.0.0/8", text)
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}

// Client is where a request comes from: the peer, or the first address of
// X-Forwarded-For, from its end, that is no proxy of ours.
func (p Proxies) Client(request *http.Request) netip.Addr {
	at, ok := p.peer(request)
	if !ok || !p.contains(at) {
		return at
	}
	hops := strings.Split(strings.Join(request.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= max(0, len(hops)-forwardedHops); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break // what is before it was not written by a proxy of ours
		}
		if at = hop.Unmap(); !p.contains(at) {
			break
		}
	}
	return at
}

// IsSecure reports whether a request came over TLS, as far as that is known: to us, or
// to a proxy that says so. Where no proxies are named every
// header counts: good enough to tell people that they forgot TLS, and for nothing else.
func (p Proxies) IsSecure(request *http.Request) bool {
	if request.TLS != nil {
		return true
	}
	if at, ok := p.peer(request); len(p) > 0 && (!ok || !p.contains(at)) {
		return false
	}
	return strings.EqualFold(request.Header.Get("X-Forwarded-Proto"), "https") ||
		strings.Contains(strings.ToLower(request.Header.Get("Forwarded")), "proto=https")
}

func (p Proxies) peer(request *http.Request) (netip.Addr, bool) {
	at, err := netip.ParseAddrPort(request.RemoteAddr)
	return at.Addr().Unmap(), err == nil
}

func (p Proxies) contains(address netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// Source is an address as limits know it: the network of 64 bits of an IPv6 one, which
// its owner has whole.
func Source(address netip.Addr) string {
	if address.Is6() {
		if network, err := address.WithZone("").Prefix(64); err == nil {
			return network.String()
		}
	}
	return address.String()
}
