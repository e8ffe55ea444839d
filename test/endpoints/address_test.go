// SPDX-License-Identifier: Apache-2.0

package endpoints_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/test/endpoints"
)

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

func startOK(t *testing.T) *endpoints.Endpoint {
	t.Helper()
	return started[*endpoints.Endpoint](t)(endpoints.StartHTTP1(false, func(x *endpoints.HTTP1Exchange) bool {
		if x.Read() {
			x.Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}
		return false
	}))
}

// A name whose first addresses drop what is sent to them costs an attempt nothing
// but a moment.
func TestAddressesThatDropPackets(t *testing.T) {
	t.Parallel()
	_, port, _ := net.SplitHostPort(startOK(t).Addr())
	far := farAway(t)
	dns := started[*endpoints.DNS](t)(endpoints.StartDNS(endpoints.Zone{Addresses: map[string][]netip.Addr{
		"one.example.": addrs(far.DroppedAddr(1), far.Addr(1)),
		"two.example.": addrs(far.DroppedAddr(1), far.DroppedAddr(2), far.Addr(1)),
		"all.example.": addrs(far.DroppedAddr(1), far.DroppedAddr(2)),
	}}))
	sender := newSender(t, nil, dns.Resolver())
	for _, name := range []string{"one.example", "two.example"} {
		if got := sender.Send(t.Context(), attemptAt("http://"+net.JoinHostPort(name, port))); !got.Succeeded() || got.Duration > 5*time.Second {
			t.Errorf("%s: %+v", name, got)
		}
	}
	request := attemptAt("http://all.example:" + port)
	request.Timeout = time.Second
	got := sender.Send(t.Context(), request)
	if got.Reason != dispatcher.ReasonTimeout || got.Message != "timed out while connecting" || got.Duration > 5*time.Second {
		t.Errorf("all dropped: %+v", got)
	}

	attempts := sized(t, attemptsVariable, usualAttempts)
	send := func(request dispatcher.Request) dispatcher.Result { return sender.Send(t.Context(), request) }
	manyAttempts(send, "http://one.example:"+port, attempts, 50, 200).check(t, "two addresses, the first of which drops packets", attempts)
}

// With DNS64 every endpoint that has IPv4 only has an address in 64:ff9b::/96.
func TestTranslatedAddressesAreTried(t *testing.T) {
	t.Parallel()
	dns := started[*endpoints.DNS](t)(endpoints.StartDNS(endpoints.Zone{Addresses: map[string][]netip.Addr{
		"public.example.": addrs("64:ff9b::5db8:d822"), "inside.example.": addrs("64:ff9b::10.0.0.1"),
	}}))
	sender := newSender(t, nil, dns.Resolver())
	for name, forbidden := range map[string]bool{"public.example": false, "inside.example": true} {
		request := attemptAt("https://" + name)
		request.Timeout = time.Second
		if got := sender.Send(t.Context(), request); got.Succeeded() || (got.Reason == dispatcher.ReasonAddressForbidden) != forbidden {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
