// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

// Whatever a lookup said, the address of each connection is checked.
func TestEveryConnectionIsChecked(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // the test is over
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	loopback := netip.MustParseAddr("127.0.0.1")
	guarded := &dialer{policy: netguard.New(netguard.Options{})}
	for _, addrs := range [][]netip.Addr{{loopback}, {loopback, netip.MustParseAddr("127.0.0.2")}} {
		if conn, err := guarded.connect(t.Context(), addrs, port, nil); !isRefused(err, netguard.Loopback) {
			t.Errorf("%v, %v", conn, err)
		}
	}
	open := &dialer{policy: netguard.New(netguard.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})}
	forbidden := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	if conn, err := open.connect(t.Context(), []netip.Addr{loopback}, port, forbidden); !isRefused(err, netguard.ControlPlane) {
		t.Errorf("%v, %v", conn, err)
	}
}

// isRefused says whether the guard has refused, for this reason.
func isRefused(err error, want netguard.Reason) bool {
	refusal, ok := errors.AsType[*netguard.Refusal](err)
	return ok && refusal.Reason == want
}

func TestInOrder(t *testing.T) {
	t.Parallel()
	addrs := func(texts ...string) []netip.Addr {
		var out []netip.Addr
		for _, text := range texts {
			out = append(out, netip.MustParseAddr(text))
		}
		return out
	}
	many := addrs("1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5", "1.1.1.6", "1.1.1.7", "1.1.1.8", "1.1.1.9")
	for _, test := range []struct {
		name    string
		addrs   []netip.Addr
		attempt int
		want    []netip.Addr
	}{
		{"one", addrs("1.1.1.1"), 1, addrs("1.1.1.1")},
		{"one, later", addrs("1.1.1.1"), 5, addrs("1.1.1.1")},
		{"as they come", addrs("1.1.1.1", "1.1.1.2"), 1, addrs("1.1.1.1", "1.1.1.2")},
		{"a later attempt begins further on", addrs("1.1.1.1", "1.1.1.2", "1.1.1.3"), 2, addrs("1.1.1.2", "1.1.1.3", "1.1.1.1")},
		{"and begins anew", addrs("1.1.1.1", "1.1.1.2"), 3, addrs("1.1.1.1", "1.1.1.2")},
		{"families take turns", addrs("2001:db8::1", "2001:db8::2", "2001:db8::3", "1.1.1.1"), 1, addrs("2001:db8::1", "1.1.1.1", "2001:db8::2", "2001:db8::3")},
		{"a retry takes the other family", addrs("2001:db8::1", "1.1.1.1"), 2, addrs("1.1.1.1", "2001:db8::1")},
		{"not all of many", many, 1, many[:8]},
		{"no attempt number", addrs("1.1.1.1", "1.1.1.2"), 0, addrs("1.1.1.1", "1.1.1.2")},
	} {
		if got := dialOrder(test.addrs, test.attempt); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
