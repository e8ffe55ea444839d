// SPDX-License-Identifier: Apache-2.0

package netguard_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

func reasonOf(t *testing.T, err error) netguard.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	refusal, ok := errors.AsType[*netguard.Refusal](err)
	if !ok {
		t.Fatalf("%v is not a *Refusal", err)
	}
	return refusal.Reason
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func TestCheckOfAddresses(t *testing.T) {
	t.Parallel()
	policy := netguard.New(netguard.Options{})
	for addr, want := range map[string]netguard.Reason{
		"8.8.8.8": "", "1.1.1.1": "", "93.184.216.34": "", "172.15.255.255": "", "172.32.0.0": "", "100.63.255.255": "", "100.128.0.0": "",
		"168.63.129.15": "", "198.17.255.255": "", "198.20.0.0": "", "223.255.255.255": "", "11.0.0.0": "",
		// What carries a public IPv4 address is that address: DNS64 answers so for every name that has no other.
		"64:ff9b::8.8.8.8": "", "64:ff9b::5db8:d822": "", "64:ff9b:1::8.8.8.8": "", "64:ff9b:1:5db8:d8:2200::": "", "64:ff9b:1:0:5d:b8d8:2200:0": "", "64:ff9b:1:fffe:1::8.8.8.8": "", "::ffff:0:8.8.8.8": "", "::8.8.8.8": "",
		"2002:808:808::1": "", "2001:0:4136:e378:8000:63bf:f7f7:f7f7": "", "2606:4700::5efe:8.8.8.8": "", "2606:4700::200:5efe:8.8.8.8": "",
		"2606:4700:4700::1111": "", "2a00:1450:4001:81b::200e": "", "2001:200::1": "", "2400:cb00::1": "",

		"127.0.0.1": netguard.Loopback, "127.255.255.254": netguard.Loopback, "::1": netguard.Loopback, "::ffff:127.0.0.1": netguard.Loopback,
		"0.0.0.0": netguard.Unspecified, "0.1.2.3": netguard.Unspecified, "::": netguard.Unspecified, "::ffff:0.0.0.0": netguard.Unspecified,
		"10.0.0.1": netguard.Private, "10.255.255.255": netguard.Private, "172.16.0.1": netguard.Private, "172.31.255.255": netguard.Private,
		"192.168.1.1": netguard.Private, "::ffff:10.0.0.1": netguard.Private, "::ffff:c0a8:101": netguard.Private, "fec0::1": netguard.Private,
		"100.64.0.1": netguard.SharedAddressSpace, "100.127.255.255": netguard.SharedAddressSpace,
		"169.254.0.1": netguard.LinkLocal, "169.254.255.255": netguard.LinkLocal, "fe80::1": netguard.LinkLocal, "fe80::1%eth0": netguard.LinkLocal,
		"febf::1": netguard.LinkLocal, "::ffff:169.254.1.1": netguard.LinkLocal,
		"fc00::1": netguard.UniqueLocal, "fd12:3456:789a::1": netguard.UniqueLocal,
		"169.254.169.254": netguard.Metadata, "::ffff:169.254.169.254": netguard.Metadata, "169.254.170.2": netguard.Metadata,
		"169.254.170.23": netguard.Metadata, "fd00:ec2::254": netguard.Metadata, "fd00:ec2::23": netguard.Metadata,
		"fd20:ce::254": netguard.Metadata, "168.63.129.16": netguard.Metadata, "100.100.100.200": netguard.Metadata,
		"192.0.0.192": netguard.Metadata, "fe80::a9fe:a9fe": netguard.Metadata, "fe80::a9fe:a9fe%eth0": netguard.Metadata,
		"64:ff9b::127.0.0.1": netguard.Translated, "64:ff9b::a9fe:a9fe": netguard.Translated,
		"64:ff9b::10.0.0.1": netguard.Translated, "64:ff9b::168.63.129.16": netguard.Translated, "64:ff9b::0.0.0.0": netguard.Translated,
		"64:ff9b:1:a00:0:100::": netguard.Translated, "64:ff9b:1:808:8:800:7f00::": netguard.Translated, "64:ff9b:1::": netguard.Translated, "64:ff9b:1:1:a:0:800:0": netguard.Translated,
		"64:ff9b:1:fffe::10.0.0.1": netguard.Translated, "::ffff:0:169.254.169.254": netguard.Translated, "::192.168.1.1": netguard.Translated,
		"2606:4700::5efe:10.0.0.1": netguard.Private, "2606:4700::200:5efe:127.0.0.1": netguard.Loopback,
		"2001:0:a00:1:8000:63bf:f7f7:f7f7": netguard.Tunnelled, "2002:a00:1::1": netguard.Tunnelled, "2002:c0a8:101::1": netguard.Tunnelled,
		"64:ff9b:1::a00:1": netguard.Translated, "::127.0.0.1": netguard.Translated, "::ffff:0:7f00:1": netguard.Translated,
		"2002:7f00:1::": netguard.Tunnelled, "2002:a9fe:a9fe::1": netguard.Tunnelled, "2001:0:4136:e378:8000:63bf:3fff:fdd2": netguard.Tunnelled,
		"192.88.99.1": netguard.Tunnelled,
		"192.0.2.1":   netguard.Documentation, "198.51.100.7": netguard.Documentation, "203.0.113.9": netguard.Documentation,
		"2001:db8::1": netguard.Documentation, "3fff::1": netguard.Documentation,
		"198.18.0.1": netguard.Benchmarking, "198.19.255.255": netguard.Benchmarking, "2001:2::1": netguard.Benchmarking,
		"224.0.0.1": netguard.Multicast, "239.255.255.255": netguard.Multicast, "ff02::1": netguard.Multicast, "ff0e::1": netguard.Multicast,
		"255.255.255.255": netguard.Broadcast, "240.0.0.1": netguard.Reserved, "192.0.0.1": netguard.Reserved, "192.31.196.1": netguard.Reserved,
		"2001:20::1": netguard.Reserved, "100::1": netguard.Reserved, "5f00::1": netguard.Reserved,
		"4000::1": netguard.NotGlobal, "1000::1": netguard.NotGlobal, "200::1": netguard.NotGlobal,
	} {
		if got := reasonOf(t, policy.Check(netip.MustParseAddr(addr), nil)); got != want {
			t.Errorf("%s: got %q, want %q", addr, got, want)
		}
	}
	if got := reasonOf(t, policy.Check(netip.Addr{}, nil)); got != netguard.NotGlobal {
		t.Errorf("no address: got %q", got)
	}
}

func TestCheckInOrder(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		options   netguard.Options
		forbidden []netip.Prefix
		addr      string
		want      netguard.Reason
	}{
		{"allow opens a private range", netguard.Options{Allow: prefixes("10.0.0.0/8")}, nil, "10.1.2.3", ""},
		{"allow opens the mapped form too", netguard.Options{Allow: prefixes("10.0.0.0/8")}, nil, "::ffff:10.1.2.3", ""},
		{"allow in mapped form opens IPv4", netguard.Options{Allow: prefixes("::ffff:10.0.0.0/104")}, nil, "10.1.2.3", ""},
		{"allow opens nothing beside it", netguard.Options{Allow: prefixes("10.0.0.0/8")}, nil, "192.168.0.1", netguard.Private},
		{"two allowed ranges add up", netguard.Options{Allow: prefixes("10.0.0.0/8", "127.0.0.0/8")}, nil, "10.0.0.1", ""},
		{"deny refuses a public range", netguard.Options{Deny: prefixes("93.184.0.0/16")}, nil, "93.184.216.34", netguard.Denied},
		{"deny does not lift the rule", netguard.Options{Deny: prefixes("93.184.0.0/16")}, nil, "127.0.0.1", netguard.Loopback},
		{"deny wins over allow", netguard.Options{Allow: prefixes("10.0.0.0/8"), Deny: prefixes("10.1.0.0/16")}, nil, "10.1.2.3", netguard.Denied},
		{"deny of IPv6", netguard.Options{Deny: prefixes("2606:4700::/32")}, nil, "2606:4700:4700::1111", netguard.Denied},
		{"the request wins over allow", netguard.Options{Allow: prefixes("0.0.0.0/0")}, prefixes("10.96.0.1/32"), "10.96.0.1", netguard.ControlPlane},
		{"the request wins over allow for the mapped form", netguard.Options{Allow: prefixes("0.0.0.0/0", "::/0")}, prefixes("10.96.0.1/32"), "::ffff:10.96.0.1", netguard.ControlPlane},
		{"the request may name the mapped form", netguard.Options{Allow: prefixes("0.0.0.0/0")}, prefixes("::ffff:10.96.0.1/128"), "10.96.0.1", netguard.ControlPlane},
		{"the API server's own wins over allow", netguard.Options{Allow: prefixes("10.0.0.0/8", "10.96.0.1/32"), ControlPlane: prefixes("10.96.0.1/32")}, nil, "10.96.0.1", netguard.ControlPlane},
		{"the API server's own is not reached through NAT64", netguard.Options{Allow: prefixes("10.0.0.0/8"), ControlPlane: prefixes("10.96.0.1/32")}, nil, "64:ff9b::10.96.0.1", netguard.ControlPlane},
		{"the request forbids public addresses", netguard.Options{}, prefixes("34.1.2.3/32"), "34.1.2.3", netguard.ControlPlane},
		{"a wide allow does not open metadata", netguard.Options{Allow: prefixes("0.0.0.0/0", "::/0")}, nil, "169.254.169.254", netguard.Metadata},
		{"a wide allow does not open metadata in a pod range", netguard.Options{Allow: prefixes("100.64.0.0/10")}, nil, "100.100.100.200", netguard.Metadata},
		{"the exact allow opens metadata", netguard.Options{Allow: prefixes("169.254.169.254/32")}, nil, "169.254.169.254", ""},
		{"NAT64 reaches public IPv4", netguard.Options{}, nil, "64:ff9b::8.8.8.8", ""},
		{"NAT64 reaches what is allowed inside", netguard.Options{Allow: prefixes("10.0.0.0/8")}, nil, "64:ff9b::10.1.2.3", ""},
		{"NAT64 does not reach what is denied inside", netguard.Options{Deny: prefixes("8.8.8.0/24")}, nil, "64:ff9b::8.8.8.8", netguard.Denied},
		{"NAT64 does not reach the API server", netguard.Options{}, prefixes("34.1.2.3/32"), "64:ff9b::34.1.2.3", netguard.ControlPlane},
		{"6to4 does not reach the API server", netguard.Options{}, prefixes("34.1.2.3/32"), "2002:2201:203::1", netguard.ControlPlane},
		{"NAT64 may be denied as a whole", netguard.Options{Deny: prefixes("64:ff9b::/96")}, nil, "64:ff9b::8.8.8.8", netguard.Denied},
		{"allowed 6to4 does not reach private IPv4", netguard.Options{Allow: prefixes("2002::/16")}, nil, "2002:a00:1::1", netguard.Private},
		{"allowed NAT64 reaches public IPv4", netguard.Options{Allow: prefixes("64:ff9b::/96")}, nil, "64:ff9b::8.8.8.8", ""},
		{"allowed NAT64 does not reach metadata", netguard.Options{Allow: prefixes("64:ff9b::/96")}, nil, "64:ff9b::169.254.169.254", netguard.Metadata},
		{"allowed NAT64 does not reach what is denied", netguard.Options{Allow: prefixes("64:ff9b::/96"), Deny: prefixes("8.8.8.0/24")}, nil, "64:ff9b::8.8.8.8", netguard.Denied},
		{"allowed NAT64 does not reach the API server", netguard.Options{Allow: prefixes("64:ff9b::/96")}, prefixes("34.1.2.3/32"), "64:ff9b::34.1.2.3", netguard.ControlPlane},
		{"a zone does not hide from a denied range", netguard.Options{Allow: prefixes("fe80::/10"), Deny: prefixes("fe80::/64")}, nil, "fe80::1%eth0", netguard.Denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addr := netip.MustParseAddr(test.addr)
			var want error
			if test.want != "" {
				want = &netguard.Refusal{Reason: test.want, Addr: addr.WithZone("").Unmap()}
			}
			got := netguard.New(test.options).Check(addr, test.forbidden)
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzCheckAgreesWithTheMappedForm(f *testing.F) {
	policy := netguard.New(netguard.Options{Allow: prefixes("10.0.0.0/8"), Deny: prefixes("10.1.0.0/16")})
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{169, 254, 169, 254})
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		plain := policy.Check(addr, nil)
		mapped := policy.Check(netip.AddrFrom16(addr.As16()), nil)
		if reasonOf(t, plain) != reasonOf(t, mapped) {
			t.Errorf("%v: %v, mapped: %v", addr, plain, mapped)
		}
		if len(b) == 4 {
			through := [16]byte{1: 0x64, 2: 0xff, 3: 0x9b}
			copy(through[12:], b)
			if err := policy.Check(netip.AddrFrom16(through), nil); (err == nil) != (plain == nil) {
				t.Errorf("%v: %v, through NAT64: %v", addr, plain, err)
			}
		}
		if plain == nil && !policy.Allowed(addr) && (addr.Unmap().IsPrivate() || addr.Unmap().IsLoopback() || !addr.Unmap().IsGlobalUnicast()) {
			t.Errorf("%v passes", addr)
		}
	})
}
