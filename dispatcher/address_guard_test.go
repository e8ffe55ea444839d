// SPDX-License-Identifier: Apache-2.0

package dispatcher_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// names is a Resolver: for each name the answers to the first, second … lookup,
// the last one for ever.
type names map[string][][]string

var namesMu sync.Mutex // guards the maps above in tests

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	namesMu.Lock()
	defer namesMu.Unlock()
	answers, ok := n[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		n[host] = answers[1:]
	}
	var addrs []netip.Addr
	for _, text := range answers[0] {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

// canary listens on every local address of one port and counts who comes.
type canary struct {
	port    int
	visited atomic.Int64
}

func startCanary() *canary {
	GinkgoHelper()
	listener, err := net.Listen("tcp", ":0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	c := &canary{port: listener.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c.visited.Add(1)
			_ = conn.Close()
		}
	}()
	// Whoever it misses would make the test worthless: it must hear a visit.
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
	Expect(err).NotTo(HaveOccurred())
	Expect(conn.Close()).To(Succeed())
	Eventually(c.visited.Load).Should(BeEquivalentTo(1))
	c.visited.Store(0)
	return c
}

var _ = Describe("The guard", func() {
	It("lets no spelling of a forbidden address through", func(ctx SpecContext) {
		c := startCanary()
		sender := newSender(dispatcher.SenderOptions{Policy: netguard.New(netguard.Options{AllowHTTP: true})})
		for _, host := range []string{
			"127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0x7F.0X0.0.1", "127.255.255.254",
			"0", "0.0.0.0", "0x0", "00.0.0.0", "localhost", "LOCALHOST.", "a.localhost", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
			"[::127.0.0.1]", "[::ffff:0:7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[fe80::1]",
			"[fe80::1%25lo]", "[::1%25lo]", "[fc00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[ff02::1]", "[fec0::1]", "[2001:db8::1]", "[100::1]", "[4000::1]",
			"10.0.0.1", "012.0.0.1", "167772161", "172.16.0.1", "192.168.0.1", "192.168.257", "100.64.0.1", "169.254.169.254", "169.254.169.254.", "2852039166",
			"0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "169.254.170.2", "169.254.170.23", "100.100.100.200", "100.96.0.96", "168.63.129.16", "192.0.0.192",
			"192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1",
			"①②⑦.0.0.1", "１２７.0.0.1", "127。0。0。1", "%31%32%37.0.0.1", "127.0.0.1%23.example.com", "[127.0.0.1]", "256.0.0.1", "127.0.0.1.1",
			"me@127.0.0.1", `127.0.0.1\@example.com`,
		} {
			request := attemptAt(fmt.Sprintf("http://%s:%d/", host, c.port)) //nolint:nosprintfhostport // hosts that are none, too
			request.Timeout = time.Second
			got := sender.Send(ctx, request)
			Expect(got.Reason).To(BeElementOf(dispatcher.ReasonAddressForbidden, dispatcher.ReasonURLInvalid), "%s: %+v", host, got)
			Expect(got.Message).NotTo(BeEmpty(), host)
		}
		Expect(c.visited.Load()).To(BeZero())
	})

	It("lets no name that resolves to a forbidden address through", func(ctx SpecContext) {
		c := startCanary()
		resolver := names{
			"public-first.example": {{"93.184.216.34", "127.0.0.1"}}, "private-first.example": {{"127.0.0.1", "93.184.216.34"}},
			"two-families.example": {{"2606:4700:4700::1111", "127.0.0.1"}}, "metadata.google.internal": {{"169.254.169.254"}},
		}
		for i, addr := range []string{
			"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "10.0.0.1", "192.168.1.1", "172.20.0.1", "100.64.0.1", "169.254.169.254",
			"fe80::1%lo", "fd00:ec2::254", "168.63.129.16", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1",
		} {
			resolver[fmt.Sprintf("name-%d.example", i)] = [][]string{{addr}}
		}
		sender := newSender(dispatcher.SenderOptions{Policy: netguard.New(netguard.Options{AllowHTTP: true}), Resolver: resolver})
		for name := range resolver {
			request := attemptAt("http://" + net.JoinHostPort(name, strconv.Itoa(c.port)) + "/")
			request.Timeout = time.Second
			got := sender.Send(ctx, request)
			Expect(got.Reason).To(Equal(dispatcher.ReasonAddressForbidden), "%s %v: %+v", name, resolver[name], got)
		}
		Expect(c.visited.Load()).To(BeZero())
	})

	It("refuses a name once its answer turns to a forbidden address", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		resolver := names{"a.example": {{"127.0.0.1"}, {"127.0.0.2"}, {"169.254.169.254"}, {"127.0.0.1", "127.0.0.2"}, {"127.0.0.1"}}}
		sender := newSender(dispatcher.SenderOptions{Resolver: resolver})
		var reasons []dispatcher.Reason
		for range 5 {
			reasons = append(reasons, sender.Send(ctx, attemptAt("http://a.example"+r.URL("/")[len("http://127.0.0.1"):])).Reason)
			dispatcher.CloseIdle(sender)
		}
		forbidden := dispatcher.ReasonAddressForbidden
		Expect(reasons).To(Equal([]dispatcher.Reason{dispatcher.ReasonNone, forbidden, forbidden, forbidden, dispatcher.ReasonNone}))
		Expect(r.Counts("").Posts).To(Equal(2))
	})

	It("sends nothing to what proves to be an API server", func(ctx SpecContext) {
		for _, name := range []string{"kubernetes.default.svc", "kubernetes.default"} {
			authority, certificate := issued(time.Now().Add(time.Hour), "127.0.0.1", "kubernetes", name)
			r := startReceiver(receiver.Options{Certificate: certificate})
			got := newSender(dispatcher.SenderOptions{RootCAs: authority.Pool()}).Send(ctx, attemptAt(r.URL("/")))
			Expect([]string{string(got.Reason), got.Message}).To(Equal([]string{"AddressForbidden", "the address is forbidden (ControlPlane)"}))
			Expect(r.Counts("").Posts).To(BeZero())
		}
	})

	It("tries the other addresses of a name when one does not answer", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		allowed := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
		sender := newSender(dispatcher.SenderOptions{
			Policy:   netguard.New(netguard.Options{Allow: allowed, AllowHTTP: true}),
			Resolver: names{"turn.example": {{"127.0.0.3", "127.0.0.2", "127.0.0.1"}}, "family.example": {{"::1", "127.0.0.1"}}, "down.example": {{"127.0.0.2", "::1"}}},
		})
		port := r.URL("/")[len("http://127.0.0.1"):]
		Expect(sender.Send(ctx, attemptAt("http://turn.example"+port))).To(HaveField("StatusCode", 200))
		Expect(sender.Send(ctx, attemptAt("http://family.example"+port))).To(HaveField("StatusCode", 200))
		Expect(sender.Send(ctx, attemptAt("http://down.example"+port))).To(HaveField("Reason", dispatcher.ReasonConnectionRefused))
	})

	It("does not follow a redirect", func(ctx SpecContext) {
		c := startCanary()
		r := startReceiver(receiver.Options{})
		sender := newSender(dispatcher.SenderOptions{})
		for _, status := range []int{301, 302, 303, 307, 308} {
			for _, target := range []string{fmt.Sprintf("http://127.0.0.1:%d/", c.port), "http://169.254.169.254/latest/meta-data/"} {
				r.Script("/", receiver.Step{Status: status, Header: map[string]string{"Location": target}})
				Expect(sender.Send(ctx, attemptAt(r.URL("/"))).Reason).To(Equal(dispatcher.ReasonRedirected))
			}
		}
		Expect(c.visited.Load()).To(BeZero())
	})

	It("refuses literal addresses when a webhook is written", func(ctx SpecContext) {
		s := serve(newSocketPath(), newSender(dispatcher.SenderOptions{Policy: netguard.New(netguard.Options{})}), time.Second)
		for url, want := range map[string]*dispatcher.URLError{
			"https://example.com/hook":    nil,
			"https://8.8.8.8/hook":        nil,
			"https://127.1/hook":          {Reason: dispatcher.ReasonAddressForbidden, Message: "the address is forbidden (Loopback)"},
			"https://34.1.2.3/hook":       {Reason: dispatcher.ReasonAddressForbidden, Message: "the address is forbidden (Denied)"},
			"http://example.com/hook":     {Reason: dispatcher.ReasonSchemeForbidden, Message: "the URL must begin with https:// (http is off: --allow-http)"},
			"https://a:b@example.com/":    {Reason: dispatcher.ReasonURLInvalid, Message: "the URL carries a user name or password: remove it"},
			"https://example.com/#anchor": {Reason: dispatcher.ReasonURLInvalid, Message: "the URL has a fragment: remove # and what follows"},
		} {
			err := s.client.CheckURL(ctx, url, []netip.Prefix{netip.MustParsePrefix("34.1.2.3/32")})
			if want == nil {
				Expect(err).NotTo(HaveOccurred(), url)
			} else {
				Expect(err).To(Equal(want), url)
			}
		}
	})
})
