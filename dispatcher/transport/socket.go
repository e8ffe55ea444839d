// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"errors"
	"math"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// maxHandshakeBytes is how much an endpoint may send before a TLS handshake is over:
// chains of certificates have 3 to 10 KiB, and TLS would take 256 KiB into memory.
const maxHandshakeBytes = 64 << 10

// ErrLargeHandshake ends a TLS handshake in which the endpoint sends too much.
var ErrLargeHandshake = errors.New("the TLS handshake is too large")

// socket is a TCP connection that counts what is written to it, and notes whether
// anything came back.
type socket struct {
	net.Conn
	raw      syscall.RawConn // nil if it is of another kind
	written  atomic.Int64    // bytes, those included that are being written
	answered atomic.Bool     // something was read

	handshaking   bool // a TLS handshake is under way, which alone reads
	handshakeLeft int  // bytes that it may read
	memory        int  // about what the connection takes while it is idle
}

const (
	// idleConnBytes is about what an idle connection takes without TLS, handshakeFactor how
	// many times the bytes of its handshake it takes in addition: as a message, in the
	// buffer that it was read into, and as parsed certificates.
	idleConnBytes   = 16 << 10
	handshakeFactor = 5
)

func newSocket(conn net.Conn) *socket {
	s := &socket{Conn: conn, memory: idleConnBytes}
	if tcp, ok := conn.(syscall.Conn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}

// beginHandshake bounds what is read until endHandshake.
func (s *socket) beginHandshake() { s.handshaking, s.handshakeLeft = true, maxHandshakeBytes }

func (s *socket) endHandshake() {
	s.handshaking = false
	s.memory += handshakeFactor * (maxHandshakeBytes - s.handshakeLeft)
}

// Read implements net.Conn.
func (s *socket) Read(b []byte) (int, error) {
	if s.handshaking && s.handshakeLeft <= 0 {
		return 0, ErrLargeHandshake
	}
	n, err := s.Conn.Read(b)
	if s.handshaking {
		s.handshakeLeft -= n
	}
	if n > 0 && !s.answered.Load() {
		s.answered.Store(true)
	}
	return n, err
}

// Write implements net.Conn.
func (s *socket) Write(b []byte) (int, error) {
	s.written.Add(int64(len(b)))
	return s.Conn.Write(b)
}

// quiet reports whether an idle connection is as it was left.
func (s *socket) quiet() bool { return s.raw == nil || isQuiet(s.raw) }

// endTime is how long the end of a connection may take that TLS has announced.
const endTime = 50 * time.Millisecond

// arrived returns how many of the bytes written can have arrived. It is to be asked
// once reading has come to an end. If the peer has ended its side in order, what was
// written from there on had not arrived when it did: the segment that ends it also
// says what its kernel had received. So the peer decided to close before that was
// there, and will neither read nor answer it. In every other case, a reset above
// all, everything may have arrived.
func (s *socket) arrived() int64 {
	if s.raw == nil {
		return math.MaxInt64
	}
	waiting, ended := unacknowledged(s.raw)
	if !ended {
		_ = s.SetReadDeadline(time.Now().Add(endTime))
		_, _ = s.Read(make([]byte, 1))
		if waiting, ended = unacknowledged(s.raw); !ended {
			return math.MaxInt64
		}
	}
	return s.written.Load() - waiting // in this order: more may be written meanwhile
}
