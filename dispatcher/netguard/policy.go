// SPDX-License-Identifier: Apache-2.0

package netguard

import (
	"net/netip"
	"slices"

	"code.dny.dev/ssrf"
)

// Options are what an operator can set, by flag, for all tenants together.
type Options struct {
	// Allow opens ranges that are refused otherwise. A metadata address is
	// opened only by a prefix of that single address.
	Allow []netip.Prefix
	// Deny refuses ranges and wins over Allow.
	Deny []netip.Prefix
	// AllowHTTP lets URLs use http.
	AllowHTTP bool
}

// Policy decides which addresses and URLs may be reached. It is immutable and
// safe for concurrent use.
type Policy struct {
	allow, deny []netip.Prefix
	allowHTTP   bool
	ranges      []named
	nat64       netip.Prefix
	guardian    *ssrf.Guardian
}

// New makes a policy from an operator's options.
func New(options Options) *Policy {
	return &Policy{
		allow:     unmapped(options.Allow),
		deny:      unmapped(options.Deny),
		allowHTTP: options.AllowHTTP,
		ranges:    specialRanges(),
		nat64:     netip.MustParsePrefix(wellKnownNAT64),
		// No options beyond this one: the library's override one another, and
		// what is allowed or denied here is decided before it is asked.
		guardian: ssrf.New(ssrf.WithAnyPort()),
	}
}

// Check says whether a connection to this address may be made: nil, or a
// *Refusal. The order is: what the request forbids, what is denied, what is
// allowed, then the rule: global unicast only.
func (p *Policy) Check(addr netip.Addr, forbidden []netip.Prefix) error {
	if !addr.IsValid() {
		return &Refusal{Reason: NotGlobal}
	}
	// A prefix contains no address that has a zone or is mapped.
	addr = addr.WithZone("").Unmap()
	if reason := p.refuse(addr, forbidden); reason != "" {
		return &Refusal{Reason: reason, Addr: addr}
	}
	return nil
}

func (p *Policy) refuse(addr netip.Addr, forbidden []netip.Prefix) Reason {
	switch {
	case slices.ContainsFunc(forbidden, func(f netip.Prefix) bool { return unmap(f).Contains(addr) }):
		return ControlPlane
	case contains(p.deny, addr):
		return Denied
	case p.Allowed(addr):
		if p.nat64.Contains(addr) {
			// Opened for a cluster that reaches IPv4 through NAT64: the gateway
			// connects to the embedded address, so that one must pass too.
			return p.refuse(embedded(addr), forbidden)
		}
		return ""
	}
	if reason := p.special(addr); reason != "" {
		return reason
	}
	if p.guardian.SafeAddr(addr) != nil || !addr.IsGlobalUnicast() {
		return NotGlobal
	}
	return ""
}

// Allowed reports whether --allow-cidr names this address. Answers from such an
// address are not shown to users.
func (p *Policy) Allowed(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	metadata := p.special(addr) == Metadata
	return slices.ContainsFunc(p.allow, func(allow netip.Prefix) bool {
		return allow.Contains(addr) && (!metadata || allow.IsSingleIP())
	})
}

func (p *Policy) special(addr netip.Addr) Reason {
	for _, r := range p.ranges {
		if r.prefix.Contains(addr) {
			return r.reason
		}
	}
	return ""
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// embedded returns the IPv4 address in the last 32 bits.
func embedded(addr netip.Addr) netip.Addr {
	b := addr.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

func unmapped(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(prefixes))
	for _, prefix := range prefixes {
		out = append(out, unmap(prefix))
	}
	return out
}

// unmap turns a prefix of IPv4-mapped addresses into one of IPv4 addresses.
func unmap(prefix netip.Prefix) netip.Prefix {
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix
}
