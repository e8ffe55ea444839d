// SPDX-License-Identifier: Apache-2.0

package endpoints_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/test/endpoints"
)

// podResolverConfig is what a kubelet writes for a Pod of namespace shop, on a node
// whose own search list has a domain with a wildcard.
const podResolverConfig = `nameserver 127.0.0.1
search shop.svc.cluster.local svc.cluster.local cluster.local wild.example
options ndots:5
`

// systemDNS starts the name server that resolv.conf of this process names.
func systemDNS(t *testing.T, zone endpoints.Zone) *endpoints.DNS {
	t.Helper()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte(podResolverConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	stop, err := endpoints.UseResolverConfig(file)
	if err != nil {
		skipUnlessRequired(t, err)
	}
	t.Cleanup(stop)
	return started[*endpoints.DNS](t)(endpoints.StartSystemDNS(zone))
}

// both are the questions for a name.
func both(names ...string) []string {
	var questions []string
	for _, name := range names {
		questions = append(questions, "A "+name, "AAAA "+name)
	}
	slices.Sort(questions)
	return questions
}

// A name is looked up as it is written, which costs two questions. Only one that ends
// in .svc is completed by the search list, and only if it does not exist as it is.
func TestNamesAndTheSearchList(t *testing.T) {
	_, port, _ := net.SplitHostPort(startOK(t).Addr())
	here := addrs("127.0.0.1")
	dns := systemDNS(t, endpoints.Zone{
		Addresses: map[string][]netip.Addr{
			"endpoint.example.":              here,
			"outside.svc.":                   here,
			"orders.shop.svc.cluster.local.": here,
			"broken.shop.svc.cluster.local.": here,
			"*.wild.example.":                addrs("192.0.2.1"), // no way leads there
		},
		Failing: "broken.shop.svc.",
	})
	send := startDispatcher(t)
	for _, c := range []struct {
		host   string
		reason dispatcher.Reason
		asked  []string
	}{
		{"endpoint.example", "", both("endpoint.example.")},
		{"endpoint.example.", "", both("endpoint.example.")},
		{"nowhere.example", dispatcher.ReasonNameNotResolved, both("nowhere.example.")},
		{"orders", dispatcher.ReasonAddressForbidden, both("orders.")}, // whether it exists is not told
		{"outside.svc", "", both("outside.svc.")},
		{"orders.shop.svc.cluster.local", "", both("orders.shop.svc.cluster.local.")},
		{"orders.shop.svc", "", both(
			"orders.shop.svc.", "orders.shop.svc.shop.svc.cluster.local.", "orders.shop.svc.svc.cluster.local.", "orders.shop.svc.cluster.local.",
		)},
	} {
		dns.Asked()
		if got := send(attemptAt("http://" + net.JoinHostPort(c.host, port))); got.Reason != c.reason {
			t.Errorf("%s: %+v", c.host, got)
		}
		asked := dns.Asked()
		t.Logf("%s: %d questions", c.host, len(asked))
		if !slices.Equal(asked, c.asked) {
			t.Errorf("%s: asked %v, want %v", c.host, asked, c.asked)
		}
	}
	// A failure of the name servers does not say that there is no such name.
	if got := send(attemptAt("http://" + net.JoinHostPort("broken.shop.svc", port))); got.Reason != dispatcher.ReasonNameNotResolved {
		t.Errorf("%+v", got)
	}
	if asked := slices.DeleteFunc(dns.Asked(), func(question string) bool { return strings.HasSuffix(question, " broken.shop.svc.") }); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
}
