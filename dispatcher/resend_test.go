// SPDX-License-Identifier: Apache-2.0

package dispatcher_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// http2Endpoint speaks HTTP/2 frame by frame: react is called for each whole
// request with the number of the request, over all connections.
type http2Endpoint struct {
	url      string
	options  dispatcher.SenderOptions
	requests atomic.Int64
	conns    atomic.Int64
}

func startHTTP2(react func(framer *http2.Framer, stream uint32, request int64)) *http2Endpoint {
	GinkgoHelper()
	authority, certificate := issued(time.Now().Add(time.Hour), "127.0.0.1")
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	e := &http2Endpoint{url: "https://" + listener.Addr().String() + "/", options: dispatcher.SenderOptions{RootCAs: authority.Pool()}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			e.conns.Add(1)
			go e.serve(conn, react)
		}
	}()
	return e
}

func (e *http2Endpoint) serve(conn net.Conn, react func(*http2.Framer, uint32, int64)) {
	defer conn.Close() // the test is over
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	_ = framer.WriteSettings()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = framer.WritePing(true, frame.Data)
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				react(framer, frame.StreamID, e.requests.Add(1))
			}
		}
	}
}

func answer204(framer *http2.Framer, stream uint32) {
	var block bytes.Buffer
	_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "204"})
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
}

// goAwayBefore leaves a request out.
func goAwayBefore(framer *http2.Framer, stream uint32) {
	last := uint32(0)
	if stream > 2 {
		last = stream - 2
	}
	_ = framer.WriteGoAway(last, http2.ErrCodeNo, nil)
}

var _ = Describe("The requests of one attempt", func() {
	DescribeTable("are sent once more if an HTTP/2 endpoint says that it has not processed them",
		func(ctx SpecContext, away func(framer *http2.Framer, stream uint32), fresh bool) {
			e := startHTTP2(func(framer *http2.Framer, stream uint32, request int64) {
				if request == 1 && !fresh || request == 2 && fresh || request == 3 {
					answer204(framer, stream)
					return
				}
				away(framer, stream)
			})
			sender := newSender(e.options)
			want := []int64{2, 2}
			if !fresh {
				want = []int64{3, 2}
				Expect(sender.Send(ctx, attemptAt(e.url)).Succeeded()).To(BeTrue())
			}
			got := endure(ctx, sender, e.url, longTimeout)
			Expect(got.Succeeded()).To(BeTrue(), "%+v", got)
			Expect([]int64{e.requests.Load(), e.conns.Load()}).To(Equal(want), "requests, and connections that they came on")
		},
		Entry("GOAWAY that leaves the request out", goAwayBefore, true),
		Entry("GOAWAY that leaves the request out, on a connection in use", goAwayBefore, false),
		Entry("GOAWAY with an error", func(f *http2.Framer, _ uint32) { _ = f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte("x")) }, true),
		Entry("REFUSED_STREAM", func(f *http2.Framer, s uint32) { _ = f.WriteRSTStream(s, http2.ErrCodeRefusedStream) }, true),
		Entry("REFUSED_STREAM, on a connection in use", func(f *http2.Framer, s uint32) { _ = f.WriteRSTStream(s, http2.ErrCodeRefusedStream) }, false),
	)

	DescribeTable("are not repeated further when an HTTP/2 endpoint turns them away",
		func(ctx SpecContext, away func(framer *http2.Framer, stream uint32), fresh bool, requests int) {
			e := startHTTP2(func(framer *http2.Framer, stream uint32, request int64) {
				if !fresh && request == 1 {
					answer204(framer, stream)
					return
				}
				away(framer, stream)
			})
			sender := newSender(e.options)
			want := int64(requests)
			if !fresh {
				want++
				Expect(sender.Send(ctx, attemptAt(e.url)).Succeeded()).To(BeTrue())
			}
			got := endure(ctx, sender, e.url, longTimeout)
			Expect(got.Reason).To(Equal(dispatcher.ReasonConnectionReset), "%+v", got)
			Consistently(e.requests.Load).WithTimeout(200*time.Millisecond).Should(Equal(want), "requests that arrived")
		},
		Entry("GOAWAY, again", goAwayBefore, true, 2),
		Entry("REFUSED_STREAM, again", func(f *http2.Framer, s uint32) { _ = f.WriteRSTStream(s, http2.ErrCodeRefusedStream) }, false, 2),
		Entry("GOAWAY that names the request as its last, and the end", func(f *http2.Framer, s uint32) {
			_ = f.WriteGoAway(s, http2.ErrCodeNo, nil)
			_ = f.WriteRSTStream(s, http2.ErrCodeCancel)
		}, true, 1),
		Entry("PROTOCOL_ERROR, which package net/http would repeat", func(f *http2.Framer, s uint32) { _ = f.WriteRSTStream(s, http2.ErrCodeProtocol) }, true, 1),
		Entry("CANCEL", func(f *http2.Framer, s uint32) { _ = f.WriteRSTStream(s, http2.ErrCodeCancel) }, true, 1),
		Entry("INTERNAL_ERROR, on a connection in use", func(f *http2.Framer, s uint32) { _ = f.WriteRSTStream(s, http2.ErrCodeInternal) }, false, 1),
	)

	It("fail by name when an HTTP/2 endpoint sends headers without end", func(ctx SpecContext) {
		e := startHTTP2(func(framer *http2.Framer, stream uint32, _ int64) {
			var block bytes.Buffer
			encoder := hpack.NewEncoder(&block)
			_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes()})
			for {
				block.Reset()
				_ = encoder.WriteField(hpack.HeaderField{Name: "x-filler", Value: strings.Repeat("x", 8000), Sensitive: true})
				if framer.WriteContinuation(stream, false, block.Bytes()) != nil {
					return
				}
			}
		})
		got := endure(ctx, newSender(e.options), e.url, longTimeout)
		Expect(got.Reason).To(Equal(dispatcher.ReasonConnectionReset), "%+v", got)
		Expect(e.requests.Load()).To(BeEquivalentTo(1))
	})

	It("use another connection after a GOAWAY that let a request end", func(ctx SpecContext) {
		e := startHTTP2(func(framer *http2.Framer, stream uint32, _ int64) {
			_ = framer.WriteGoAway(stream, http2.ErrCodeNo, nil)
			answer204(framer, stream)
		})
		sender := newSender(e.options)
		for range 3 {
			got := endure(ctx, sender, e.url, longTimeout)
			Expect(got.Succeeded()).To(BeTrue(), "%+v", got)
		}
		Expect([]int64{e.requests.Load(), e.conns.Load()}).To(Equal([]int64{3, 3}))
	})

	It("are not repeated when an HTTP/1.1 endpoint closes a connection in use instead of answering", func(ctx SpecContext) {
		var posts atomic.Int64
		address, conns := accept(func(conn net.Conn) {
			reader := bufio.NewReader(conn)
			for {
				request, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				if posts.Add(1)%2 == 0 {
					_ = conn.Close()
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nKeep-Alive: timeout=60\r\n\r\n")
			}
		})
		sender := newSender(dispatcher.SenderOptions{})
		var reasons []dispatcher.Reason
		for range 4 {
			reasons = append(reasons, endure(ctx, sender, "http://"+address, longTimeout).Reason)
		}
		Expect(reasons).To(Equal([]dispatcher.Reason{dispatcher.ReasonNone, dispatcher.ReasonConnectionReset, dispatcher.ReasonNone, dispatcher.ReasonConnectionReset}))
		Expect([]int64{posts.Load(), conns.Load()}).To(Equal([]int64{4, 2}))
	})

	It("replace an idle connection that the endpoint closed", func(ctx SpecContext) {
		var posts atomic.Int64
		closed := make(chan struct{}, 10)
		address, _ := accept(func(conn net.Conn) {
			request, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, request.Body)
			posts.Add(1)
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nKeep-Alive: timeout=60\r\n\r\n")
			abort(conn)
			closed <- struct{}{}
		})
		sender := newSender(dispatcher.SenderOptions{})
		for n := range int64(5) {
			// The answer can be lost to the reset; then the attempt fails by name.
			got := endure(ctx, sender, "http://"+address, longTimeout)
			Expect(got.Reason).To(BeElementOf(dispatcher.ReasonNone, dispatcher.ReasonConnectionReset), "%+v", got)
			<-closed
			Expect(posts.Load()).To(Equal(n + 1))
		}
	})
})
