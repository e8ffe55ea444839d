// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"net"
	"sync/atomic"
	"syscall"
)

// socket is a TCP connection that counts what is written to it.
type socket struct {
	net.Conn
	raw     syscall.RawConn // nil if it is of another kind
	written atomic.Int64    // bytes, those included that are being written
}

func newSocket(conn net.Conn) *socket {
	s := &socket{Conn: conn}
	if tcp, ok := conn.(syscall.Conn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}

// Write implements net.Conn.
func (s *socket) Write(b []byte) (int, error) {
	s.written.Add(int64(len(b)))
	return s.Conn.Write(b)
}

// quiet reports whether an idle connection is as it was left.
func (s *socket) quiet() bool { return s.raw == nil || isQuiet(s.raw) }

// arrived returns how many of the bytes written can have arrived. Asked once the
// peer has ended its side of the connection, what was written from there on has not
// when it did: the segment that ends it also says what its kernel had received. So
// the peer decided to close before that was there, and will neither read nor answer
// it.
func (s *socket) arrived() int64 {
	if s.raw == nil {
		return s.written.Load()
	}
	waiting := unacknowledged(s.raw) // first: more may be written meanwhile
	return s.written.Load() - waiting
}
