// SPDX-License-Identifier: Apache-2.0

package dispatcher_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// The timeout is short where it is to be used up, and long enough for a busy
// machine where it is not.
const (
	shortTimeout = 400 * time.Millisecond
	longTimeout  = 10 * time.Second
)

// endure makes one attempt and checks what holds of every one: it ends in time,
// tells no secret, in printable text of bounded length.
func endure(ctx context.Context, sender *dispatcher.Sender, url string, timeout time.Duration) dispatcher.Result {
	GinkgoHelper()
	request := attemptAt(url)
	request.Timeout = timeout
	started := time.Now()
	result := sender.Send(ctx, request)
	Expect(time.Since(started)).To(BeNumerically("<", timeout+2*time.Second))
	for _, text := range []string{result.Message, result.Snippet} {
		Expect(len(text)).To(BeNumerically("<=", 256))
		Expect(utf8.ValidString(text)).To(BeTrue())
		Expect(strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })).To(Equal(-1), "%q", text)
		Expect(strings.ToLower(text)).NotTo(ContainSubstring(strings.ToLower(secretText[6:14])))
	}
	return result
}

var _ = Describe("A hostile endpoint", func() {
	const (
		reset   = dispatcher.ReasonConnectionReset
		invalid = dispatcher.ReasonResponseInvalid
		timeout = dispatcher.ReasonTimeout
		none    = dispatcher.ReasonNone
	)
	DescribeTable("ends as a named outcome within the timeout",
		func(ctx SpecContext, script string, overHTTP, overHTTP2 dispatcher.Reason, status int) {
			steps, err := receiver.ParseScript(script)
			Expect(err).NotTo(HaveOccurred())
			plain := startReceiver(receiver.Options{})
			encrypted, options := secure()
			plain.Script("", steps...)
			encrypted.Script("", steps...)
			sender := newSender(options)
			dispatcher.ShowAllAnswers(sender)
			limit := longTimeout
			if steps[0].Fault == receiver.Hang || steps[0].Fault == receiver.SlowBody || steps[0].Delay > 0 {
				limit = shortTimeout
			}
			for want, r := range map[*dispatcher.Reason]*receiver.Receiver{&overHTTP: plain, &overHTTP2: encrypted} {
				got := endure(ctx, sender, r.URL("/"), limit)
				Expect(got.Reason).To(Equal(*want), "%s: %+v", r.URL("/"), got)
				if got.StatusCode != 0 {
					Expect(got.StatusCode).To(Equal(status))
				}
				Expect(got.Message).To(WithTransform(func(m string) bool { return m == "" }, Equal(got.Succeeded())))
				Expect(r.Counts("").Posts).To(Equal(1), "never sent twice")
			}
		},
		Entry("hangs", "hang", timeout, timeout, 0),
		Entry("answers late", "200 after=5s", timeout, timeout, 0),
		Entry("resets before it answers", "reset", reset, reset, 0),
		Entry("resets within the headers", "reset-headers", reset, reset, 0),
		Entry("resets within the body", "reset-body", none, reset, 200), // over HTTP/2 it is reset before the head
		Entry("resets within the body of an error", "reset-body status=500", dispatcher.ReasonHTTPStatus, reset, 500),
		Entry("sends headers without end", "endless-headers", invalid, reset, 0),
		Entry("sends a body without end", "endless-body", none, none, 200),
		Entry("sends an error's body without end", "endless-body status=500", dispatcher.ReasonHTTPStatus, dispatcher.ReasonHTTPStatus, 500),
		Entry("drips", "slow-body every=50ms", none, none, 200),
		Entry("drips an error", "slow-body every=50ms status=500", dispatcher.ReasonHTTPStatus, dispatcher.ReasonHTTPStatus, 500),
		Entry("sends 1xx without end", "1xx-flood", invalid, reset, 0),
		Entry("sends a gzip bomb, which is never unpacked", "gzip-bomb", none, none, 200),
		Entry("sends a gzip bomb with an error", "gzip-bomb status=500", dispatcher.ReasonHTTPStatus, dispatcher.ReasonHTTPStatus, 500),
		Entry("speaks no HTTP", "not-http", invalid, reset, 0),
		Entry("sends control characters", "control-chars", none, none, 200),
		Entry("sends control characters with an error", "control-chars status=500", dispatcher.ReasonHTTPStatus, dispatcher.ReasonHTTPStatus, 500),
		Entry("echoes what it got", "echo", none, none, 200),
		Entry("echoes what it got with an error", "echo status=500", dispatcher.ReasonHTTPStatus, dispatcher.ReasonHTTPStatus, 500),
	)

	DescribeTable("fails by name in the TLS handshake",
		func(ctx SpecContext, notAfter time.Duration, host string, trusted bool, message string) {
			authority, certificate := issued(time.Now().Add(notAfter), host)
			r := startReceiver(receiver.Options{Certificate: certificate})
			options := dispatcher.SenderOptions{RootCAs: authority.Pool()}
			if !trusted {
				another, _ := issued(time.Now(), host)
				options.RootCAs = another.Pool()
			}
			got := endure(ctx, newSender(options), r.URL("/"), longTimeout)
			Expect(got.Reason).To(Equal(dispatcher.ReasonCertificateInvalid))
			Expect(got.Message).To(ContainSubstring(message))
			Expect(got.CertificateNotAfter).To(BeTemporally("~", time.Now().Add(notAfter), 5*time.Second))
			Expect(r.Counts("").Posts).To(BeZero())
		},
		Entry("with an expired certificate", -time.Hour, "127.0.0.1", true, "expired"),
		Entry("with a certificate for another name", time.Hour, "other.example", true, "another name"),
		Entry("with a certificate of an unknown authority", time.Hour, "127.0.0.1", false, "unknown authority"),
	)

	It("fails by name when it speaks no TLS", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		got := endure(ctx, newSender(dispatcher.SenderOptions{}), "https://"+r.Addr(), longTimeout)
		Expect(got.Reason).To(Equal(dispatcher.ReasonTLSFailed), "%+v", got)
	})

	It("fails by name when it sends far more certificates than a chain has", func(ctx SpecContext) {
		hosts := []string{"127.0.0.1"}
		for i := range 5000 {
			hosts = append(hosts, fmt.Sprintf("host-%d.example", i))
		}
		authority, certificate := issued(time.Now().Add(time.Hour), hosts...)
		r := startReceiver(receiver.Options{Certificate: certificate})
		got := endure(ctx, newSender(dispatcher.SenderOptions{RootCAs: authority.Pool()}), r.URL("/"), longTimeout)
		Expect(got.Reason).To(Equal(dispatcher.ReasonTLSFailed), "%+v", got)
		Expect(got.Message).To(ContainSubstring("larger than 64 KiB"))
	})

	DescribeTable("fails by name at the level of connections",
		func(ctx SpecContext, scheme string, serve func(net.Conn), want dispatcher.Reason) {
			address, _ := accept(serve)
			limit := longTimeout
			if want == timeout {
				limit = shortTimeout
			}
			got := endure(ctx, newSender(dispatcher.SenderOptions{}), scheme+"://"+address, limit)
			Expect(got.Reason).To(Equal(want), "%+v", got)
		},
		Entry("reset at accept", "http", abort, reset),
		Entry("reset at accept, TLS", "https", abort, reset),
		Entry("reset after the TLS hello", "https", func(c net.Conn) { readSome(c); abort(c) }, reset),
		Entry("closed after the TLS hello", "https", func(c net.Conn) { readSome(c); _ = c.Close() }, reset),
		Entry("silent after accept", "http", func(net.Conn) {}, timeout),
		Entry("silent after accept, TLS", "https", func(net.Conn) {}, timeout),
		Entry("nonsense instead of TLS", "https", func(c net.Conn) { readSome(c); _, _ = c.Write([]byte("SSH-2.0-x\r\n")) }, dispatcher.ReasonTLSFailed),
		Entry("TLS 1.1 alone", "https", oldTLS, dispatcher.ReasonTLSFailed),
		Entry("a status line without end", "http", func(c net.Conn) {
			readSome(c)
			_, _ = c.Write([]byte("HTTP/1.1 200 "))
			for {
				if _, err := c.Write([]byte(strings.Repeat("a", 4096))); err != nil {
					return
				}
			}
		}, invalid),
		Entry("a malformed status", "http", respond("HTTP/1.1 2OO OK\r\n\r\n"), invalid),
		Entry("a malformed header", "http", respond("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), invalid),
		Entry("two lengths", "http", respondAndClose("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), none),
		Entry("malformed chunks", "http", respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), none),
		Entry("headers beyond the limit", "http", respond("HTTP/1.1 200 OK\r\n"+strings.Repeat("X-Filler: "+strings.Repeat("x", 1000)+"\r\n", 100)+"\r\n"), invalid),
		Entry("101", "http", respond("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), dispatcher.ReasonHTTPStatus),
		Entry("a length beyond the limit", "http", respondAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"), none),
		Entry("a body that ends with the connection", "http", func(c net.Conn) {
			readSome(c)
			_, _ = c.Write([]byte("HTTP/1.0 200 OK\r\n\r\nok"))
			_ = c.Close()
		}, none),
	)

	It("fails by name when nothing listens or no name is found", func(ctx SpecContext) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		Expect(listener.Close()).To(Succeed())
		sender := newSender(dispatcher.SenderOptions{Resolver: names{}})
		Expect(endure(ctx, sender, "http://"+listener.Addr().String(), longTimeout)).To(HaveField("Reason", dispatcher.ReasonConnectionRefused))
		Expect(endure(ctx, sender, "http://nowhere.example", longTimeout)).To(HaveField("Reason", dispatcher.ReasonNameNotResolved))
		slow := newSender(dispatcher.SenderOptions{Resolver: hangingResolver{}})
		got := endure(ctx, slow, "http://slow.example", shortTimeout)
		Expect([]string{string(got.Reason), got.Message}).To(Equal([]string{"Timeout", "timed out while looking up the host name"}))
	})

	It("costs a bounded amount of memory", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{Keep: -1})
		r.Script("/body", receiver.Step{Fault: receiver.EndlessBody})
		r.Script("/gzip", receiver.Step{Fault: receiver.GzipBomb})
		r.Script("/headers", receiver.Step{Fault: receiver.EndlessHeaders})
		sender := newSender(dispatcher.SenderOptions{})
		dispatcher.ShowAllAnswers(sender)
		round := func() {
			for path, want := range map[string]dispatcher.Reason{"/body": none, "/gzip": none, "/headers": invalid} {
				Expect(endure(ctx, sender, r.URL(path), longTimeout).Reason).To(Equal(want), path)
			}
		}
		round()
		before := heap()
		for range 20 {
			round()
		}
		Expect(int64(heap()) - int64(before)).To(BeNumerically("<", 4<<20))
	})
})

var _ = Describe("An answer that is shown", func() {
	It("holds none of our signatures, whole or in part", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		r.Script("/", receiver.Step{Fault: receiver.Echo, Status: 400})
		sender := newSender(dispatcher.SenderOptions{})
		dispatcher.ShowAllAnswers(sender)
		request := attemptAt(r.URL("/"))
		got := sender.Send(ctx, request)
		sent := r.Received("")[0].Header
		Expect(got.Snippet).NotTo(BeEmpty())
		for _, name := range []string{"X-BBMCP-Signature", "webhook-signature"} {
			value := strings.TrimPrefix(sent.Get(name), "v1,")
			for i := range len(value) - 8 {
				Expect(got.Snippet).NotTo(ContainSubstring(value[i : i+8]))
			}
		}
	})

	It("is empty where the address is allow-listed or snippets are off", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		r.Script("/", receiver.Step{Status: 500, Body: "inside"})
		Expect(newSender(dispatcher.SenderOptions{Snippets: true}).Send(ctx, attemptAt(r.URL("/"))).Snippet).To(BeEmpty())
		Expect(newSender(dispatcher.SenderOptions{Snippets: false}).Send(ctx, attemptAt(r.URL("/"))).Snippet).To(BeEmpty())
		shown := newSender(dispatcher.SenderOptions{Snippets: true})
		dispatcher.ShowAllAnswers(shown)
		Expect(shown.Send(ctx, attemptAt(r.URL("/"))).Snippet).To(Equal("inside"))
	})
})

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

type hangingResolver struct{}

func (hangingResolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// accept serves connections by hand and counts them.
func accept(serve func(net.Conn)) (address string, accepted *atomic.Int64) {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	accepted = &atomic.Int64{}
	go func() {
		var silent []net.Conn // one that nobody holds is closed by the garbage collector
		defer func() {
			for _, conn := range silent {
				_ = conn.Close()
			}
		}()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			silent = append(silent, conn)
			accepted.Add(1)
			go serve(conn)
		}
	}()
	return listener.Addr().String(), accepted
}

func abort(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func readSome(conn net.Conn) { _, _ = conn.Read(make([]byte, 8192)) }

func respond(raw string) func(net.Conn) {
	return func(conn net.Conn) {
		readSome(conn)
		_, _ = io.WriteString(conn, raw)
	}
}

func respondAndClose(raw string) func(net.Conn) {
	return func(conn net.Conn) {
		respond(raw)(conn)
		_ = conn.Close()
	}
}

func oldTLS(conn net.Conn) {
	_, certificate := issued(time.Now().Add(time.Hour), "127.0.0.1")
	_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}).Handshake() // what is refused
}

var _ = Describe("On the wire", func() {
	It("spells header names as the contract does", func(ctx SpecContext) {
		lines := make(chan string, 100)
		address, _ := accept(func(conn net.Conn) {
			scanner := bufio.NewScanner(conn)
			for scanner.Scan() && scanner.Text() != "" {
				name, _, _ := strings.Cut(scanner.Text(), ":")
				lines <- name
			}
			close(lines)
			_, _ = fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		})
		request := attemptAt("http://" + address + "/x")
		request.Test = true
		Expect(newSender(dispatcher.SenderOptions{}).Send(ctx, request).Succeeded()).To(BeTrue())
		var got []string
		for line := range lines {
			got = append(got, line)
		}
		Expect(got).To(ConsistOf("POST /x HTTP/1.1", "Host", "User-Agent", "Content-Length", "Content-Type", "Accept",
			"X-BBMCP-Signature", "X-BBMCP-Event", "X-BBMCP-Delivery", "X-BBMCP-Attempt", "X-BBMCP-Test", "webhook-id", "webhook-timestamp", "webhook-signature"))
	})

	It("asks for path and query as they were written, encoded once", func(ctx SpecContext) {
		lines := make(chan string, 10)
		address, _ := accept(func(conn net.Conn) {
			line, _ := bufio.NewReader(conn).ReadString('\n')
			lines <- strings.TrimSpace(line)
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		})
		sender := newSender(dispatcher.SenderOptions{})
		for written, want := range map[string]string{
			"": "/", "?a": "/?a", "/a%2Fb/{id}": "/a%2Fb/%7Bid%7D", "/x?q=ü": "/x?q=%C3%BC", "/x?f={a}": "/x?f=%7Ba%7D", "/x?q=a^b|c": "/x?q=a%5Eb%7Cc", "//a/../b": "//a/../b",
		} {
			Expect(sender.Send(ctx, attemptAt("http://"+address+written)).Succeeded()).To(BeTrue(), written)
			Expect(<-lines).To(Equal("POST " + want + " HTTP/1.1"))
		}
		encrypted, options := secure()
		Expect(newSender(options).Send(ctx, attemptAt(encrypted.URL("/a%2Fb/{id}?q=ü"))).Succeeded()).To(BeTrue())
		Expect(encrypted.Received("/a/b/{id}")).To(HaveLen(1))
	})
})
