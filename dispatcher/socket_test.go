// SPDX-License-Identifier: Apache-2.0

package dispatcher_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// fakeDispatcher serves the socket by hand, for what a real one never does: it
// reads one frame and writes the reply, if there is one, under its number.
func fakeDispatcher(path string, reply func(call [4]byte) []byte) {
	GinkgoHelper()
	listener, err := net.Listen("unix", path)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() // like a dispatcher that dies
				for {
					head, _, err := readFrame(conn)
					if err != nil || reply == nil {
						return
					}
					if _, err := conn.Write(reply([4]byte(head[4:8]))); err != nil {
						return
					}
				}
			}()
		}
	}()
}

const (
	kindAnswer    = 1
	kindMalformed = 2
)

// frameOf is a frame as it is on the wire.
func frameOf(call [4]byte, kind byte, body string) []byte {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	return append(append(append(frame, call[:]...), kind), body...)
}

func readFrame(r io.Reader) (head [9]byte, body []byte, err error) {
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return head, nil, err
	}
	body = make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err = io.ReadFull(r, body)
	return head, body, err
}

var _ = Describe("Over the socket", func() {
	It("an attempt has the same result as without the socket", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		r.Script("/", receiver.Step{Status: 429, Header: map[string]string{"Retry-After": "9"}})
		sender := newSender(dispatcher.SenderOptions{Now: frozen})
		s := serve(newSocketPath(), sender, time.Second)
		request := attemptAt(r.URL("/"))
		request.Keys.Secondary = signature.NewSecret(otherText)
		request.Forbidden = []netip.Prefix{netip.MustParsePrefix("10.96.0.1/32")}
		request.Test, request.TraceParent, request.Attempt = true, "00-x", 2

		over, err := s.client.Send(ctx, request)
		Expect(err).NotTo(HaveOccurred())
		without := sender.Send(ctx, request)
		over.Timings, without.Timings = dispatcher.Timings{}, dispatcher.Timings{}
		Expect(over).To(Equal(without))
		got := r.Received("/")
		Expect(got).To(HaveLen(2))
		got[0].At, got[1].At = time.Time{}, time.Time{}
		Expect(got[0]).To(Equal(got[1]))
	})

	It("a payload of the largest size arrives whole", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		s := serve(newSocketPath(), newSender(dispatcher.SenderOptions{}), time.Second)
		request := attemptAt(r.URL("/"))
		request.Payload = make([]byte, dispatcher.MaxPayloadBytes)
		for i := range request.Payload {
			request.Payload[i] = byte(i * 31)
		}
		Expect(s.client.Send(ctx, request)).To(HaveField("StatusCode", 200))
		Expect(sha256.Sum256([]byte(r.Received("/")[0].Body))).To(Equal(sha256.Sum256(request.Payload)))
		Expect(r.Counts("").Verified).To(Equal(1))
		request.Payload = append(request.Payload, 'x')
		Expect(s.client.Send(ctx, request)).To(HaveField("Reason", dispatcher.ReasonRequestInvalid))
		request = attemptAt(r.URL("/"))
		request.URL += strings.Repeat("x", 70<<10)
		Expect(s.client.Send(ctx, request)).To(HaveField("Reason", dispatcher.ReasonRequestInvalid), "as an error it would be tried for ever")
		Expect(r.Counts("").Posts).To(Equal(1))
	})

	It("a frame that the dispatcher cannot read gets a result", func(ctx SpecContext) {
		path := newSocketPath()
		fakeDispatcher(path, func(call [4]byte) []byte { return frameOf(call, kindMalformed, "") })
		client := dispatcher.NewClient(path)
		Expect(client.Send(ctx, attemptAt("https://example.com"))).To(HaveField("Reason", dispatcher.ReasonRequestInvalid))
		Expect(client.CheckURL(ctx, "https://example.com", nil)).To(MatchError(dispatcher.ErrUnavailable))
	})

	It("a secret that is not UTF-8 signs byte for byte", func(ctx SpecContext) {
		const odd = "sixteen bytes \xff\xfe and \x00"
		r := startReceiver(receiver.Options{})
		Expect(r.Secrets("/", odd)).To(Succeed())
		s := serve(newSocketPath(), newSender(dispatcher.SenderOptions{}), time.Second)
		request := attemptAt(r.URL("/"))
		request.Keys.Primary = signature.NewSecret(odd)
		Expect(s.client.Send(ctx, request)).To(HaveField("StatusCode", 200))
		Expect(r.Counts("").Verified).To(Equal(1))
	})

	It("nothing is handed over where no dispatcher listens", func(ctx SpecContext) {
		client := dispatcher.NewClient(newSocketPath())
		_, err := client.Send(ctx, attemptAt("https://example.com"))
		Expect(err).To(MatchError(dispatcher.ErrUnavailable))
		Expect(err).NotTo(MatchError(dispatcher.ErrLost))
		Expect(client.Ready(ctx)).To(MatchError(dispatcher.ErrUnavailable))
		Expect(client.CheckURL(ctx, "https://example.com", nil)).To(MatchError(dispatcher.ErrUnavailable))
	})

	It("an attempt is lost when the dispatcher dies with it", func(ctx SpecContext) {
		path := newSocketPath()
		fakeDispatcher(path, nil)
		_, err := dispatcher.NewClient(path).Send(ctx, attemptAt("https://example.com"))
		Expect(err).To(MatchError(dispatcher.ErrLost))
		Expect(err).NotTo(MatchError(dispatcher.ErrUnavailable))
	})

	It("an attempt is lost when the result makes no sense", func(ctx SpecContext) {
		path := newSocketPath()
		fakeDispatcher(path, func(call [4]byte) []byte { return frameOf(call, kindAnswer, "nonsense") })
		_, err := dispatcher.NewClient(path).Send(ctx, attemptAt("https://example.com"))
		Expect(err).To(MatchError(dispatcher.ErrLost))
	})

	It("an attempt goes on when its caller gives up", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		r.Script("/", receiver.Step{Delay: 300 * time.Millisecond})
		s := serve(newSocketPath(), newSender(dispatcher.SenderOptions{}), 5*time.Second)
		short, cancel := context.WithCancel(ctx)
		go func() {
			defer cancel()
			_ = r.Wait(ctx, "/", func(c receiver.Counts) bool { return c.Posts == 1 })
		}()
		_, err := s.client.Send(short, attemptAt(r.URL("/")))
		Expect(err).To(MatchError(dispatcher.ErrLost))
		Expect(err).To(MatchError(context.Canceled))
		s.cancel()
		Eventually(s.served).WithTimeout(3*time.Second).Should(Receive(BeNil()), "the drain waits for it")
	})

	It("another dispatcher on the same socket is found again", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		path := newSocketPath()
		sender := newSender(dispatcher.SenderOptions{})
		first := serve(path, sender, time.Second)
		client := first.client
		Expect(client.Send(ctx, attemptAt(r.URL("/")))).To(HaveField("StatusCode", 200))
		first.cancel()
		Eventually(first.served).Should(Receive(BeNil()))
		_, err := client.Send(ctx, attemptAt(r.URL("/")))
		Expect(err).To(MatchError(dispatcher.ErrUnavailable))
		serve(path, sender, time.Second)
		Expect(client.Ready(ctx)).To(Succeed())
		Expect(client.Send(ctx, attemptAt(r.URL("/")))).To(HaveField("StatusCode", 200))
		Expect(r.Counts("").Posts).To(Equal(2))
	})

	It("many attempts at once get their own results", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		r.Script("/bad", receiver.Step{Status: 500})
		s := serve(newSocketPath(), newSender(dispatcher.SenderOptions{}), time.Second)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				defer GinkgoRecover()
				path, want := "/good", 200
				if i%2 == 0 {
					path, want = "/bad", 500
				}
				Expect(s.client.Send(ctx, attemptAt(r.URL(path)))).To(HaveField("StatusCode", want))
			})
		}
		wg.Wait()
		Expect(r.Counts("")).To(HaveField("Posts", 200))
		Expect(r.Counts("")).To(HaveField("Verified", 200))
	})

	It("a drain hands over attempts under way, and is bounded", func(ctx SpecContext) {
		r := startReceiver(receiver.Options{})
		r.Script("/slow", receiver.Step{Delay: 200 * time.Millisecond})
		r.Script("/hang", receiver.Step{Fault: receiver.Hang})
		for _, end := range []struct {
			path string
			err  error
		}{{"/slow", nil}, {"/hang", dispatcher.ErrLost}} {
			s := serve(newSocketPath(), newSender(dispatcher.SenderOptions{}), time.Second)
			go func() {
				_ = r.Wait(ctx, end.path, func(c receiver.Counts) bool { return c.Posts == 1 })
				s.cancel()
			}()
			result, err := s.client.Send(ctx, attemptAt(r.URL(end.path)))
			if end.err == nil {
				Expect(err).NotTo(HaveOccurred())
				Expect(result.Succeeded()).To(BeTrue())
				Eventually(s.served).Should(Receive(BeNil()))
			} else {
				Expect(err).To(MatchError(end.err))
				Eventually(s.served).Should(Receive(MatchError(ContainSubstring("still under way"))))
			}
		}
	})

	DescribeTable("malformed requests are refused",
		func(method int, body string) {
			path := newSocketPath()
			serve(path, newSender(dispatcher.SenderOptions{}), time.Second)
			conn, err := net.Dial("unix", path)
			Expect(err).NotTo(HaveOccurred())
			defer conn.Close() // the test is over
			Expect(conn.Write(frameOf([4]byte{7, 7, 7, 7}, byte(method), body))).To(BeNumerically(">", 0))
			head, answer, err := readFrame(conn)
			Expect(err).NotTo(HaveOccurred())
			Expect(append(head[:], answer...)).To(Equal(frameOf([4]byte{7, 7, 7, 7}, kindMalformed, "")))
		},
		Entry("empty", 1, ""),
		Entry("short", 1, "\x00\x00"),
		Entry("longer than it is", 1, "\x00\x00\x00\x09{}"),
		Entry("huge", 1, "\xff\xff\xff\xff{}"),
		Entry("no metadata", 1, "\x00\x00\x00\x02{]"),
		Entry("a question that is no JSON", 2, "{]"),
		Entry("no method of ours", 9, ""),
	)
})
