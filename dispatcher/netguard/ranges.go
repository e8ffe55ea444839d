// SPDX-License-Identifier: Apache-2.0

package netguard

import (
	"net/netip"
	"slices"
)

type namedRange struct {
	prefix netip.Prefix
	reason Reason
}

// specialRanges names the ranges that are refused, the narrower before the
// wider. The guard library refuses most of them on its own; the names are ours.
func specialRanges() []namedRange {
	var ranges []namedRange
	for _, group := range []struct {
		reason   Reason
		prefixes []string
	}{
		{Metadata, metadataRanges()},
		{Unspecified, []string{"0.0.0.0/8", "::/128"}},
		{Loopback, []string{"127.0.0.0/8", "::1/128"}},
		{Private, []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fec0::/10"}},
		{UniqueLocal, []string{"fc00::/7"}},
		{LinkLocal, []string{"169.254.0.0/16", "fe80::/10"}},
		{SharedAddressSpace, []string{"100.64.0.0/10"}},
		{Broadcast, []string{"255.255.255.255/32"}},
		{Multicast, []string{"224.0.0.0/4", "ff00::/8"}},
		{Translated, []string{nat64, localNAT64, compatible, translated}},
		{Tunnelled, []string{sixToFour, teredo, "192.88.99.0/24"}},
		{Documentation, []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"}},
		{Benchmarking, []string{"198.18.0.0/15", "2001:2::/48"}},
		{Reserved, []string{
			"240.0.0.0/4", "192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24",
			"2001::/23", "2620:4f:8000::/48", "100::/64", "5f00::/16",
		}},
	} {
		for _, prefix := range group.prefixes {
			ranges = append(ranges, namedRange{netip.MustParsePrefix(prefix), group.reason})
		}
	}
	return ranges
}

// metadataRanges are services that hand out credentials to whoever connects.
// They are single addresses, so that --allow-cidr opens one only when it names
// that very address.
func metadataRanges() []string {
	return []string{
		"169.254.169.254/32",  // most clouds: AWS, Google, Azure, Oracle, DigitalOcean, OpenStack …
		"169.254.170.2/32",    // AWS ECS task credentials
		"169.254.170.23/32",   // AWS EKS Pod Identity
		"fd00:ec2::254/128",   // AWS
		"fd00:ec2::23/128",    // AWS EKS Pod Identity
		"fd20:ce::254/128",    // Google
		"fe80::a9fe:a9fe/128", // OpenStack
		"168.63.129.16/32",    // Azure host agent, a public address
		"100.100.100.200/32",  // Alibaba, within carrier-grade NAT
		"100.96.0.96/32",      // Volcengine, within carrier-grade NAT
		"192.0.0.192/32",      // Oracle, classic
		"169.254.0.23/32",     // Tencent
		"169.254.42.42/32",    // Scaleway
		"fd00:42::42/128",     // Scaleway
	}
}

func rangesContain(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func unmapRanges(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(prefixes))
	for _, prefix := range prefixes {
		out = append(out, unmapRange(prefix))
	}
	return out
}

// unmapRange turns a prefix of IPv4-mapped addresses into one of IPv4 addresses.
func unmapRange(prefix netip.Prefix) netip.Prefix {
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix
}
