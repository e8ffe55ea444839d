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
	// ControlPlane are addresses of the API server that are known whatever requests
	// say. They win over Allow.
	ControlPlane []netip.Prefix
	// AllowHTTP lets URLs use http.
	AllowHTTP bool
	// Domains are what the Pod's resolver completes names with. Names in them are
	// internal, see IsInternalName.
	Domains []string
}

// Policy decides which addresses and URLs may be reached. It is immutable and
// safe for concurrent use.
type Policy struct {
	allow, deny  []netip.Prefix
	controlPlane []netip.Prefix
	allowHTTP    bool
	domains      []string
	ranges       []namedRange
	guardian     *ssrf.Guardian
}

// New makes a policy from an operator's options.
func New(options Options) *Policy {
	return &Policy{
		allow:        unmapRanges(options.Allow),
		deny:         unmapRanges(options.Deny),
		controlPlane: unmapRanges(options.ControlPlane),
		allowHTTP:    options.AllowHTTP,
		domains:      ownHostDomains(options.Domains),
		ranges:       specialRanges(),
		// No options beyond this one: the library's override one another, and
		// what is allowed or denied here is decided before it is asked.
		guardian: ssrf.New(ssrf.WithAnyPort()),
	}
}

// Check says whether a connection to this address may be made: nil, or a
// *Refusal. The order is: the API server's, what is denied, what is
// allowed, then the rule: global unicast only. An address that carries IPv4 ones is
// what these are.
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
	case rangesContain(p.controlPlane, addr), slices.ContainsFunc(forbidden, func(f netip.Prefix) bool { return unmapRange(f).Contains(addr) }):
		return ControlPlane
	case rangesContain(p.deny, addr):
		return Denied
	}
	special, open := p.specialReason(addr), p.allows(addr)
	carried, whole := embeddedAddresses(addr)
	for _, inside := range carried {
		// What translates or tunnels connects to the address inside.
		if reason := p.refuse(inside, forbidden); reason != "" {
			if open || special == "" || reason == ControlPlane || reason == Denied {
				return reason
			}
			return special
		}
	}
	switch {
	case open || whole:
		return ""
	case special != "":
		return special
	case p.guardian.SafeAddr(addr) != nil || !addr.IsGlobalUnicast():
		return NotGlobal
	}
	return ""
}

// Allowed reports whether --allow-cidr names this address, or one that it
// carries. Answers from such an address are not shown to users.
func (p *Policy) Allowed(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	carried, _ := embeddedAddresses(addr)
	return p.allows(addr) || slices.ContainsFunc(carried, p.allows)
}

func (p *Policy) allows(addr netip.Addr) bool {
	metadata := p.specialReason(addr) == Metadata
	return slices.ContainsFunc(p.allow, func(allow netip.Prefix) bool {
		return allow.Contains(addr) && (!metadata || allow.IsSingleIP())
	})
}

func (p *Policy) specialReason(addr netip.Addr) Reason {
	for _, r := range p.ranges {
		if r.prefix.Contains(addr) {
			return r.reason
		}
	}
	return ""
}

// allowsLoopback reports whether some loopback address is open, so that the
// name localhost must be left to the check of the connection.
func (p *Policy) allowsLoopback() bool {
	loopback4, loopback6 := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")
	for _, allow := range p.allow {
		if allow.Overlaps(loopback4) || allow.Overlaps(loopback6) {
			return true
		}
	}
	return false
}
