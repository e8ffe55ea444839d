// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// HTTP2Stream is a request over HTTP/2 that has arrived whole.
type HTTP2Stream struct {
	// ID is the number of the stream, from 1 in twos.
	ID uint32
	// Request is the number of the request, from 1, over all connections.
	Request int
	*HTTP2Frames
}

// HTTP2Frames writes frames by hand, one after the other.
type HTTP2Frames struct {
	conn    net.Conn
	framer  *http2.Framer
	mu      *sync.Mutex
	encoder *hpack.Encoder
	block   *bytes.Buffer
}

// Write calls write with what writes frames. None of another goroutine comes
// between.
func (f *HTTP2Frames) Write(write func(*http2.Framer)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	write(f.framer)
}

// Head sends the head of an answer, and ends the stream if that is all.
func (s *HTTP2Stream) Head(status int, end bool, fields ...hpack.HeaderField) {
	s.Write(func(framer *http2.Framer) {
		s.block.Reset()
		_ = s.encoder.WriteField(hpack.HeaderField{Name: ":status", Value: strconv.Itoa(status)})
		for _, field := range fields {
			_ = s.encoder.WriteField(field)
		}
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.ID, BlockFragment: s.block.Bytes(), EndHeaders: true, EndStream: end})
	})
}

// End resets the stream.
func (s *HTTP2Stream) End(code http2.ErrCode) {
	s.Write(func(framer *http2.Framer) { _ = framer.WriteRSTStream(s.ID, code) })
}

// GoAway says that nothing beyond this stream will be processed.
func (s *HTTP2Stream) GoAway(last uint32, code http2.ErrCode) {
	s.Write(func(framer *http2.Framer) { _ = framer.WriteGoAway(last, code, nil) })
}

// Before is the stream before this one; 0 if it is the first.
func (s *HTTP2Stream) Before() uint32 {
	if s.ID < 2 {
		return 0
	}
	return s.ID - 2
}

// Close closes the connection.
func (f *HTTP2Frames) Close() { _ = f.conn.Close() }

// StartHTTP2 starts an endpoint over HTTP/2 that answers by hand: serve is called,
// in order, for each request of a connection once it is whole.
func StartHTTP2(serve func(*HTTP2Stream)) (*Endpoint, error) {
	return startEndpoint([]string{"h2"}, serveHTTP2(serve))
}

// StartHTTP11Required starts an endpoint that speaks both, and wants HTTP/1.1 for
// every request that comes over HTTP/2.
func StartHTTP11Required() (*Endpoint, error) {
	overHTTP2 := serveHTTP2(func(s *HTTP2Stream) { s.End(http2.ErrCodeHTTP11Required) })
	overHTTP1 := serveHTTP1(func(x *HTTP1Exchange) bool {
		if !x.Read() {
			return false
		}
		x.Say("HTTP/1.1 204 No Content\r\nKeep-Alive: timeout=60\r\n\r\n")
		return true
	})
	return startEndpoint([]string{"h2", "http/1.1"}, func(e *Endpoint, conn net.Conn) {
		if secure, ok := conn.(*tls.Conn); ok && secure.HandshakeContext(context.Background()) == nil && secure.ConnectionState().NegotiatedProtocol == "h2" {
			overHTTP2(e, conn)
			return
		}
		overHTTP1(e, conn)
	})
}

func serveHTTP2(serve func(*HTTP2Stream)) func(*Endpoint, net.Conn) {
	var requests atomic.Int64
	return func(e *Endpoint, conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		block := &bytes.Buffer{}
		framer := http2.NewFramer(conn, conn)
		framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil) // the size of its table that we leave as it is
		frames := &HTTP2Frames{conn: conn, framer: framer, mu: &sync.Mutex{}, block: block, encoder: hpack.NewEncoder(block)}
		frames.Write(func(framer *http2.Framer) { _ = framer.WriteSettings() })
		deliveries := map[uint32]string{}
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					frames.Write(func(framer *http2.Framer) { _ = framer.WriteSettingsAck() })
				}
			case *http2.PingFrame:
				if !frame.IsAck() {
					data := frame.Data
					frames.Write(func(framer *http2.Framer) { _ = framer.WritePing(true, data) })
				}
			case *http2.MetaHeadersFrame:
				for _, field := range frame.RegularFields() {
					if strings.EqualFold(field.Name, deliveryHeader) {
						deliveries[frame.StreamID] = field.Value
					}
				}
			case *http2.DataFrame:
				if n := uint32(len(frame.Data())); n > 0 {
					id := frame.StreamID
					frames.Write(func(framer *http2.Framer) {
						_ = framer.WriteWindowUpdate(0, n)
						_ = framer.WriteWindowUpdate(id, n)
					})
				}
				if frame.StreamEnded() {
					e.count(deliveries[frame.StreamID])
					delete(deliveries, frame.StreamID)
					serve(&HTTP2Stream{ID: frame.StreamID, Request: int(requests.Add(1)), HTTP2Frames: frames})
				}
			}
		}
	}
}
