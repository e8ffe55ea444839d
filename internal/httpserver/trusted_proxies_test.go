// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"testing"
)

func TestClient(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.1:1", []string{"198.51.100.1"}, "203.0.113.1"},
		{"a proxy that says nothing", "10.0.0.1:1", nil, "10.0.0.1"},
		{"a proxy", "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"what the client wrote itself", "10.0.0.1:1", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"several proxies", "10.0.0.1:1", []string{"1.1.1.1, 198.51.100.1, 192.0.2.7", "10.2.3.4"}, "198.51.100.1"},
		{"nothing but proxies", "10.0.0.1:1", []string{"10.9.9.9, 10.2.3.4"}, "10.9.9.9"},
		{"nonsense", "10.0.0.1:1", []string{"1.1.1.1, unknown, 10.2.3.4"}, "10.2.3.4"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"IPv6", "[2001:db8::1]:1", []string{"2001:4860::1"}, "2001:4860::1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			request := &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.forwarded}}
			if got := proxies.Client(request); got != netip.MustParseAddr(tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	if got := Proxies(nil).Client(&http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-For": {"1.1.1.1"}}}); got != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("without proxies: %s", got)
	}
	for _, wrong := range []string{"", "10.0.0.0/33", "proxy.example.com"} {
		if _, err := ParseProxies([]string{wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

func TestIsSecure(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	https := http.Header{"X-Forwarded-Proto": {"https"}}
	for _, tt := range []struct {
		name    string
		request *http.Request
		want    bool
	}{
		{"by a proxy in the newer header", &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"Forwarded": {"for=1.1.1.1;Proto=https"}}}, true},
		{"over TLS", &http.Request{RemoteAddr: "203.0.113.1:1", TLS: &tls.ConnectionState{}}, true},
		{"by a proxy that says so", &http.Request{RemoteAddr: "10.0.0.1:1", Header: https}, true},
		{"by a proxy that says otherwise", &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-Proto": {"http"}}}, false},
		{"by somebody who says so", &http.Request{RemoteAddr: "203.0.113.1:1", Header: https}, false},
	} {
		if got := proxies.IsSecure(tt.request); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestIsSecureWhereNoProxiesAreNamed(t *testing.T) {
	for proto, want := range map[string]bool{"https": true, "http": false, "": false} {
		request := &http.Request{RemoteAddr: "203.0.113.1:1", Header: http.Header{"X-Forwarded-Proto": {proto}}}
		if got := Proxies(nil).IsSecure(request); got != want {
			t.Errorf("%q: %t", proto, got)
		}
	}
}

func TestSource(t *testing.T) {
	for address, want := range map[string]string{
		"10.1.2.3": "10.1.2.3", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Source(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
