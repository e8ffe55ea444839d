// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// A NetworkPolicy is asked about the address and port of a Pod or a machine: those of
// a Service have been replaced by then.
func TestNetworkPoliciesOpenWhatIsBehindServices(t *testing.T) {
	const apiServers = "{networkPolicy: {apiServerCIDRs: [10.0.0.10/32, 'fd00::10/128']}}"
	for _, c := range []struct {
		what, values string
		protocol     corev1.Protocol
		to           string
		open         bool
	}{
		{"a name server on 53", "", corev1.ProtocolUDP, "10.2.0.3:53", true},
		{"a name server on 53 by TCP", "", corev1.ProtocolTCP, "10.2.0.3:53", true},
		{"a name server's Pod on 5353", "", corev1.ProtocolUDP, "10.2.0.3:5353", true},
		{"a name server's Pod on 5353 by TCP", "", corev1.ProtocolTCP, "10.2.0.3:5353", true},
		{"the API server on 443", "", corev1.ProtocolTCP, "10.96.0.1:443", true},
		{"the API server on 6443", "", corev1.ProtocolTCP, "10.0.0.10:6443", true},
		{"the API server on 6444", "", corev1.ProtocolTCP, "10.0.0.10:6444", true},
		{"the API server on 8443", "", corev1.ProtocolTCP, "192.168.49.2:8443", true},
		{"the API server on 16443", "", corev1.ProtocolTCP, "10.0.0.10:16443", true},
		{"the API server on another port, unsaid", "", corev1.ProtocolTCP, "10.0.0.10:7443", false},
		{"the API server on a port that was named", "{networkPolicy: {apiServerPorts: [7443]}}", corev1.ProtocolTCP, "10.0.0.10:7443", true},
		{"the API server at an address that was named", apiServers, corev1.ProtocolTCP, "10.0.0.10:8443", true},
		{"the same over IPv6", apiServers, corev1.ProtocolTCP, "[fd00::10]:6443", true},
		{"its neighbour on a port of the API server", apiServers, corev1.ProtocolTCP, "10.0.0.11:6443", false},
		{"its neighbour over IPv6", apiServers, corev1.ProtocolTCP, "[fd00::11]:443", false},
		{"another port of the API server's machine", apiServers, corev1.ProtocolTCP, "10.0.0.10:2379", false},
		{"a database", "", corev1.ProtocolTCP, "10.0.0.20:5432", false},
		{"the metadata of a cloud", "", corev1.ProtocolTCP, "169.254.169.254:80", false},
		{"an endpoint", apiServers, corev1.ProtocolTCP, "93.184.216.34:443", true},
		{"an endpoint on a port of its own", apiServers, corev1.ProtocolTCP, "[2606:2800:220::1]:8080", true},
	} {
		for _, policy := range ofKind[networkingv1.NetworkPolicy](t, render(t, c.values, Release{}).Objects, "NetworkPolicy") {
			if got := opens(policy.Spec.Egress, c.protocol, netip.MustParseAddrPort(c.to)); got != c.open {
				t.Errorf("%s lets through to %s, %s: %t, want %t", policy.Name, c.what, c.to, got, c.open)
			}
		}
	}
}

// opens reports whether one of the rules lets a packet out, as a network plugin reads them.
func opens(rules []networkingv1.NetworkPolicyEgressRule, protocol corev1.Protocol, to netip.AddrPort) bool {
	for _, rule := range rules {
		port, peer := len(rule.Ports) == 0, len(rule.To) == 0
		for _, p := range rule.Ports {
			port = port || *p.Protocol == protocol && p.Port.IntVal == int32(to.Port())
		}
		for _, p := range rule.To {
			peer = peer || p.IPBlock != nil && holdsAddress(p.IPBlock, to.Addr())
		}
		if port && peer {
			return true
		}
	}
	return false
}

func holdsAddress(block *networkingv1.IPBlock, address netip.Addr) bool {
	for _, except := range block.Except {
		if netip.MustParsePrefix(except).Contains(address) {
			return false
		}
	}
	return netip.MustParsePrefix(block.CIDR).Contains(address)
}
