// SPDX-License-Identifier: Apache-2.0

package netguard

import (
	"net/netip"
	"slices"
)

// Ranges of IPv6 whose addresses carry IPv4 ones: what is sent there leaves as
// IPv4 at a translator or at the end of a tunnel.
const (
	nat64      = "64:ff9b::/96"    // RFC 6052: what DNS64 answers for names that have IPv4 only
	localNAT64 = "64:ff9b:1::/48"  // RFC 8215: the same with prefixes of a network's own
	compatible = "::/96"           // IPv4-compatible, RFC 4291
	translated = "::ffff:0:0:0/96" // IPv4-translated, RFC 2765
	sixToFour  = "2002::/16"       // RFC 3056
	teredo     = "2001::/32"       // RFC 4380
)

// carriers says where in an address of a range IPv4 addresses are.
var carriers = []struct { //nolint:gochecknoglobals // never changed
	prefix  netip.Prefix
	carried func(b [16]byte) []netip.Addr
}{
	{netip.MustParsePrefix("::/127"), func([16]byte) []netip.Addr { return nil }}, // unspecified and loopback carry none
	{netip.MustParsePrefix(nat64), embeddedInLastBytes},
	{netip.MustParsePrefix(compatible), embeddedInLastBytes},
	{netip.MustParsePrefix(translated), embeddedInLastBytes},
	{netip.MustParsePrefix(localNAT64), embeddedInLocalNAT64},
	{netip.MustParsePrefix(sixToFour), func(b [16]byte) []netip.Addr { return []netip.Addr{netip.AddrFrom4([4]byte(b[2:6]))} }},
	{netip.MustParsePrefix(teredo), func(b [16]byte) []netip.Addr { // the server's, and the client's with every bit turned
		return []netip.Addr{netip.AddrFrom4([4]byte(b[4:8])), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	}},
}

// embeddedAddresses returns the IPv4 addresses that an IPv6 address may carry. whole says
// that it is nothing else: where they may be reached, so may it.
func embeddedAddresses(addr netip.Addr) (carried []netip.Addr, whole bool) {
	if !addr.Is6() {
		return nil, false
	}
	b := addr.As16()
	for _, carrier := range carriers {
		if carrier.prefix.Contains(addr) {
			carried = carrier.carried(b)
			return carried, len(carried) > 0
		}
	}
	// ISATAP (RFC 5214): the identifier of an interface in any prefix.
	if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
		return embeddedInLastBytes(b), false
	}
	return nil, false
}

func embeddedInLastBytes(b [16]byte) []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte(b[12:]))}
}

// embeddedInLocalNAT64 returns every address that may be meant: how long the prefix of the
// network is cannot be told. With 96 bits the IPv4 address comes last; with 48, 56
// or 64 it is followed by zeros, and the byte at 8 is skipped (RFC 6052, section
// 2.2).
func embeddedInLocalNAT64(b [16]byte) []netip.Addr {
	var carried []netip.Addr
	if b[8] == 0 {
		without := append(b[:8:8], b[9:]...)
		for _, at := range []int{6, 7, 8} {
			if address := without[at : at+4]; allZero(without[at+4:]) && !allZero(address) {
				carried = append(carried, netip.AddrFrom4([4]byte(address)))
			}
		}
	}
	if last := embeddedInLastBytes(b); len(carried) == 0 || !last[0].IsUnspecified() {
		carried = append(carried, last...)
	}
	return carried
}

func allZero(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 })
}
