// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"encoding/binary"
	"errors"
	"math"
	"net"
	"sync"
	"time"
)

// errTooManyFrames ends a connection on which the endpoint keeps us busy.
var errTooManyFrames = errors.New("the endpoint sent more HTTP/2 frames than its answers need")

// What an endpoint may send on an HTTP/2 connection, for each request and for the
// connection as a whole. Package net/http answers every PING and every SETTINGS,
// reads past what comes for streams that have ended, and would go on for ever.
const (
	framesPerRequest = 256 // a large request is met with a WINDOW_UPDATE or two for each 16 KiB
	framesToBegin    = 512
	framesPerSecond  = 10
	bytesPerRequest  = maxHeadBytes + 4*maxDrainBytes
	bytesToBegin     = 1 << 20
)

// Types of frames (RFC 9113, section 6) and codes of errors (section 7).
const (
	frameData      = 0x0
	frameHeaders   = 0x1
	frameRSTStream = 0x3
	frameGoAway    = 0x7

	codeRefusedStream  = 0x7
	codeHTTP11Required = 0xd
)

const (
	frameHeaderBytes = 9
	keptFrameBytes   = 8 // of a payload: the last stream and the code of GOAWAY
)

// http2Refusal is what the endpoint says of a request that it has not processed.
type http2Refusal int

const (
	notRefused http2Refusal = iota
	refused                 // on this connection
	refusedHTTP2
)

// http2Frames reads along on an HTTP/2 connection. It keeps what package net/http does
// not tell: which requests the endpoint has not processed.
type http2Frames struct {
	net.Conn // TLS, as a rule
	socket   *socket

	in, out http2FrameScanner // each used by one goroutine at a time

	mu        sync.Mutex
	requested uint32            // the stream of the latest request
	began     int64             // what the socket had been given before it
	goAway    uint32            // the last stream that is processed; MaxUint32 before a GOAWAY
	goAwayBy  uint32            // its code
	underWay  map[uint32]uint32 // streams of requests, and the code that refused them
	arrived   int64             // how many bytes can have arrived, once that is known; MaxInt64 before
	lastRead  time.Time

	// What the endpoint may send yet.
	framesLeft float64
	bytesLeft  int64
	refilled   time.Time
}

func newHTTP2Frames(c *connection) *http2Frames {
	return &http2Frames{
		Conn: c.conn, socket: c.socket, goAway: math.MaxUint32, arrived: math.MaxInt64, underWay: map[uint32]uint32{},
		out:        http2FrameScanner{preface: len(clientPreface)},
		framesLeft: framesToBegin, bytesLeft: bytesToBegin, refilled: time.Now(),
	}
}

// clientPreface precedes the first frame that we send.
const clientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Read implements net.Conn.
func (f *http2Frames) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	arrived := int64(math.MaxInt64)
	if isHTTP1End(err) { // not under the lock: that the endpoint has ended it may take a while
		arrived = f.socket.arrived()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arrived = min(f.arrived, arrived)
	if n > 0 {
		f.lastRead = time.Now()
		if f.bytesLeft -= int64(n); f.bytesLeft < 0 {
			return 0, errTooManyFrames
		}
		f.in.scan(b[:n], f.received)
		if f.framesLeft < 0 {
			return 0, errTooManyFrames
		}
	}
	return n, err
}

// received takes a frame of the endpoint. The lock is held.
func (f *http2Frames) received(frame http2FrameHeader) {
	if !frame.isAnswer() {
		now := time.Now()
		f.framesLeft = min(framesToBegin+f.framesLeft, f.framesLeft+framesPerSecond*now.Sub(f.refilled).Seconds()) - 1
		f.refilled = now
	}
	switch frame.kind {
	case frameRSTStream:
		_, known := f.underWay[frame.stream]
		if code := frame.number(0); known && (code == codeRefusedStream || code == codeHTTP11Required) {
			f.underWay[frame.stream] = code
		}
	case frameGoAway:
		f.goAway, f.goAwayBy = min(f.goAway, frame.number(0)&math.MaxInt32), frame.number(4)
	}
}

// http2FrameHeader is what precedes a frame's payload, and the beginning of that.
type http2FrameHeader struct {
	length int
	kind   byte
	stream uint32
	kept   [keptFrameBytes]byte
}

// isAnswer reports whether a frame is one that answers are made of.
func (h http2FrameHeader) isAnswer() bool {
	return h.kind == frameHeaders || h.kind == frameData && h.length > 0
}

// Write implements net.Conn. Requests are written one at a time.
func (f *http2Frames) Write(b []byte) (int, error) {
	f.mu.Lock()
	given := f.socket.written.Load()
	f.out.scan(b, func(frame http2FrameHeader) {
		if frame.kind == frameHeaders {
			f.requested, f.began, f.underWay[frame.stream] = frame.stream, given, 0
			f.framesLeft += framesPerRequest
			f.bytesLeft += bytesPerRequest
		}
	})
	f.mu.Unlock()
	return f.Conn.Write(b)
}

// Close implements net.Conn, without a word of TLS: that could wait for the
// endpoint.
func (f *http2Frames) Close() error { return f.socket.Close() }

// latest is the stream of the request that was written last, and what the socket
// had been given before it.
func (f *http2Frames) latest() (stream uint32, began int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requested, f.began
}

// refusal says whether the endpoint has not processed a request.
func (f *http2Frames) refusal(stream uint32, began int64) http2Refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	code := f.underWay[stream]
	switch {
	case code == codeHTTP11Required, stream > f.goAway && f.goAwayBy == codeHTTP11Required:
		return refusedHTTP2
	case code == codeRefusedStream, stream > f.goAway, began >= f.arrived:
		return refused
	}
	return notRefused
}

// end forgets a request that is over.
func (f *http2Frames) end(stream uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.underWay, stream)
}

// leaves reports whether the endpoint has said that it takes no more requests.
func (f *http2Frames) leaves() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.goAway != math.MaxUint32
}

// silentSince reports whether nothing has come since then.
func (f *http2Frames) silentSince(t time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lastRead.Before(t)
}

// number reads four bytes of the payload; 0 if it is shorter.
func (h http2FrameHeader) number(at int) uint32 { return binary.BigEndian.Uint32(h.kept[at:]) }

// http2FrameScanner finds the frames in what passes, whatever the pieces.
type http2FrameScanner struct {
	preface int // bytes that precede the first frame
	header  [frameHeaderBytes]byte
	have    int // of the header
	frame   http2FrameHeader
	left    int // of the payload
	kept    int
}

// scan calls found for each frame once its beginning is there: all that is kept of
// it.
func (s *http2FrameScanner) scan(b []byte, found func(http2FrameHeader)) {
	skip := min(s.preface, len(b))
	s.preface -= skip
	b = b[skip:]
	for len(b) > 0 {
		if s.have < frameHeaderBytes {
			n := copy(s.header[s.have:], b)
			s.have += n
			b = b[n:]
			if s.have < frameHeaderBytes {
				return
			}
			s.begin()
			if s.left == 0 {
				found(s.frame)
				s.have = 0
			}
			continue
		}
		n := min(s.left, len(b))
		wanted := min(s.frame.length, keptFrameBytes)
		if s.kept < wanted {
			s.kept += copy(s.frame.kept[s.kept:wanted], b[:n])
			if s.kept == wanted {
				found(s.frame)
			}
		}
		s.left -= n
		b = b[n:]
		if s.left == 0 {
			s.have = 0
		}
	}
}

// begin reads the header that is complete.
func (s *http2FrameScanner) begin() {
	s.frame = http2FrameHeader{
		length: int(s.header[0])<<16 | int(s.header[1])<<8 | int(s.header[2]),
		kind:   s.header[3],
		stream: binary.BigEndian.Uint32(s.header[5:]) & math.MaxInt32,
	}
	s.left, s.kept = s.frame.length, 0
}
