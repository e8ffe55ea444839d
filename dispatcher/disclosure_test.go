// SPDX-License-Identifier: Apache-2.0

package dispatcher_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// toldTo is what users see of an attempt, but for when it began.
func toldTo(result dispatcher.Result) dispatcher.Result {
	result.StartedAt = time.Time{}
	return result
}

// slowly is a Resolver that takes longer for names that exist.
type slowly struct{ names }

func (s slowly) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if _, ok := s.names[host]; ok {
		<-time.After(20 * time.Millisecond)
	}
	return s.names.LookupNetIP(ctx, network, host)
}

// speaks listens on loopback and handles one connection after the other.
func speaks(handle func(net.Conn)) string {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			handle(conn)
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

var _ = Describe("The result of an attempt to a network that is not public", func() {
	It("does not tell whether a name inside exists", func(ctx SpecContext) {
		inside := names{
			"postgres": {{"10.0.0.1"}}, "postgres.shop": {{"10.0.0.1"}}, "postgres.shop.svc": {{"10.0.0.1"}}, "postgres.shop.svc.cluster.local": {{"10.0.0.1"}},
			"metadata.google.internal": {{"169.254.169.254"}}, "kubernetes.default.svc": {{"127.0.0.1"}}, "api.shop.svc.k8s.example.org": {{"34.1.2.3"}},
			"db.corp.example.net": {{"192.168.1.1", "fd00::1"}}, "nas.local": {{"127.0.0.1"}},
		}
		delete(inside, "postgres.shop") // two labels may be public
		sender := newDiscreet(dispatcher.SenderOptions{
			Policy: netguard.New(netguard.Options{AllowHTTP: true, Domains: []string{"corp.example.net"}}), Resolver: slowly{inside},
		})
		var first *dispatcher.Result
		for name := range inside {
			for _, host := range []string{name, "not-" + name} {
				request := attemptAt("http://" + host + "/")
				request.Forbidden = []netip.Prefix{netip.MustParsePrefix("34.1.2.3/32"), netip.MustParsePrefix("127.0.0.1/32")}
				got := toldTo(sender.Send(ctx, request))
				if first == nil {
					first = &got
				}
				Expect(got).To(Equal(*first), host)
			}
		}
		Expect(first.Reason).To(Equal(dispatcher.ReasonAddressForbidden))
		Expect(first.Message).To(ContainSubstring("is not told"))
	})

	It("tells an owner of a public name what is wrong with it, and not where it leads", func(ctx SpecContext) {
		sender := newDiscreet(dispatcher.SenderOptions{
			Policy:   netguard.New(netguard.Options{AllowHTTP: true, Deny: []netip.Prefix{netip.MustParsePrefix("93.184.0.0/16")}}),
			Resolver: names{"private.example": {{"10.0.0.1"}}, "metadata.example": {{"169.254.169.254"}}, "plane.example": {{"34.1.2.3"}}, "denied.example": {{"93.184.216.34"}}},
		})
		said := map[string]bool{}
		for _, name := range []string{"private", "metadata", "plane", "denied"} {
			request := attemptAt("http://" + name + ".example/")
			request.Forbidden = []netip.Prefix{netip.MustParsePrefix("34.1.2.3/32")}
			got := sender.Send(ctx, request)
			said[string(got.Reason)+": "+got.Message] = true
		}
		Expect(said).To(Equal(map[string]bool{"AddressForbidden: the host name leads to a forbidden address": true}))
		Expect(sender.Send(ctx, attemptAt("http://none.example/")).Reason).To(Equal(dispatcher.ReasonNameNotResolved))
	})

	It("says of a literal address only what the address says itself", func(ctx SpecContext) {
		sender := newDiscreet(dispatcher.SenderOptions{Policy: netguard.New(netguard.Options{
			AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Deny: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("93.184.0.0/16")},
		})})
		for address, want := range map[string]string{
			"10.96.0.1": "Private", "10.1.0.1": "Private", "192.168.0.1": "Private", "127.0.0.1": "Loopback", "34.1.2.3": "Denied", "93.184.216.34": "Denied", "169.254.169.254": "Metadata",
		} {
			request := attemptAt("http://" + address + "/")
			request.Forbidden = []netip.Prefix{netip.MustParsePrefix("34.1.2.3/32"), netip.MustParsePrefix("10.96.0.1/32")}
			Expect(sender.Send(ctx, request).Message).To(Equal("the address is forbidden ("+want+")"), address)
		}
	})

	// ports are what a scan of an open range meets, and who vouches for the last of them.
	ports := func() (map[string]string, *x509.CertPool) {
		closed := speaks(func(net.Conn) {})
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		refuses := listener.Addr().String()
		Expect(listener.Close()).To(Succeed())
		_, expired := issued(time.Now().Add(-time.Hour), "127.0.0.1")
		authority, plane := issued(time.Now().Add(time.Hour), "127.0.0.1", "kubernetes.default.svc")
		plain := startReceiver(receiver.Options{})
		plain.Script("/reset", receiver.Step{Fault: receiver.ResetBeforeAnswer})
		plain.Script("/nothing", receiver.Step{Fault: receiver.NotHTTP})
		plain.Script("/endless", receiver.Step{Fault: receiver.EndlessHeaders})
		return map[string]string{
			"nothing listens": "http://" + refuses + "/", "nothing listens for TLS": "https://" + refuses + "/",
			"it hangs up": "http://" + closed + "/", "it hangs up in the handshake": "https://" + closed + "/",
			"a banner":            "http://" + speaks(func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.6\r\n")) }) + "/",
			"a banner for TLS":    "https://" + speaks(func(c net.Conn) { _, _ = c.Write([]byte("220 mail ESMTP\r\n")) }) + "/",
			"no TLS":              strings.Replace(plain.URL("/"), "http:", "https:", 1),
			"a reset":             plain.URL("/reset"),
			"no HTTP":             plain.URL("/nothing"),
			"headers without end": plain.URL("/endless"),
			"another authority":   startReceiver(receiver.Options{Certificate: expired}).URL("/"),
			"an API server":       startReceiver(receiver.Options{Certificate: plane}).URL("/"),
		}, authority.Pool()
	}

	It("does not tell what listens in a range that is open to all", func(ctx SpecContext) {
		var logged bytes.Buffer
		listening, roots := ports()
		sender := newDiscreet(dispatcher.SenderOptions{RootCAs: roots, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		said := map[string][]string{}
		for what, url := range listening {
			got := toldTo(sender.Send(ctx, attemptAt(url)))
			text := fmt.Sprintf("%+v", got)
			said[text] = append(said[text], what)
			Expect(got.Reason).To(Equal(dispatcher.ReasonConnectionFailed), what)
			Expect(got.Message).To(ContainSubstring("--explain-allowed"), what)
		}
		Expect(said).To(HaveLen(1))
		By("the operator's log says it")
		Expect(logged.String()).To(SatisfyAll(
			ContainSubstring("reason=ConnectionRefused"), ContainSubstring("reason=CertificateInvalid"), ContainSubstring("reason=TLSFailed"), ContainSubstring("(ControlPlane)"),
		))
		Expect(logged.String()).NotTo(ContainSubstring(secretText))
	})

	It("does not tell how far an attempt came that timed out", func(ctx SpecContext) {
		hangs := startReceiver(receiver.Options{})
		hangs.Script("/", receiver.Step{Fault: receiver.Hang})
		release := make(chan struct{})
		DeferCleanup(func() { close(release) })
		sender := newDiscreet(dispatcher.SenderOptions{})
		for _, url := range []string{hangs.URL("/"), "https://" + speaks(func(net.Conn) { <-release }) + "/"} {
			request := attemptAt(url)
			request.Timeout = 300 * time.Millisecond
			got := sender.Send(ctx, request)
			Expect([]any{got.Reason, got.Message, got.Timings}).To(Equal([]any{dispatcher.ReasonTimeout, "timed out", dispatcher.Timings{}}))
		}
	})

	It("tells everything with --explain-allowed", func(ctx SpecContext) {
		listening, roots := ports()
		sender := newSender(dispatcher.SenderOptions{RootCAs: roots})
		said := map[dispatcher.Reason]bool{}
		for _, url := range listening {
			said[sender.Send(ctx, attemptAt(url)).Reason] = true
		}
		Expect(said).To(HaveKey(dispatcher.ReasonConnectionRefused))
		Expect(said).To(HaveKey(dispatcher.ReasonCertificateInvalid))
		Expect(said).To(HaveKey(dispatcher.ReasonAddressForbidden))
	})
})
