// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"net"
	"sync"
)

const (
	// answerBytes bounds what handlers hold of answers that peers do not take.
	answerBytes = 64 << 20
	// busyRequests is what a connection may have under way once half of all requests
	// that there may be are.
	busyRequests = 8
)

// requestLoad bounds what all connections together have under way: requests, of which HTTP/2
// has many on one connection, and bytes of answers. What has the most gives way: a
// connection with many requests gets no more of them, one with none always gets one;
// and the connection with the most bytes that are not taken is cut off.
type requestLoad struct {
	maxRequests int
	maxBytes    int64

	mu          sync.Mutex
	requests    int
	bytes       int64
	connections map[net.Conn]*connectionLoad
}

// connectionLoad is that of one connection.
type connectionLoad struct {
	requests int
	bytes    int64
	cut      bool
}

func newRequestLoad(requests int, bytes int64) *requestLoad {
	return &requestLoad{maxRequests: requests, maxBytes: bytes, connections: map[net.Conn]*connectionLoad{}}
}

// begin counts a request until end, unless there are too many; others is how many of its
// connection are under way beside it.
func (l *requestLoad) begin(conn net.Conn) (end func(), others int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tracked := l.connections[conn]
	if tracked == nil {
		tracked = &connectionLoad{}
	}
	switch {
	case tracked.cut,
		l.requests >= l.maxRequests && tracked.requests > 0,
		l.requests >= l.maxRequests/2 && tracked.requests >= busyRequests:
		return nil, 0, false
	}
	l.connections[conn] = tracked
	others = tracked.requests
	tracked.requests++
	l.requests++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		tracked.requests--
		l.requests--
		if tracked.requests == 0 {
			delete(l.connections, conn)
		}
	}, others, true
}

// holdAnswer counts bytes of an answer until they are taken. over is the connection to cut
// off so that there is room; nil: there is.
func (l *requestLoad) holdAnswer(conn net.Conn, bytes int) (taken func(), over net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tracked := l.connections[conn]
	if tracked == nil || tracked.cut {
		return func() {}, nil
	}
	tracked.bytes += int64(bytes)
	l.bytes += int64(bytes)
	if l.bytes > l.maxBytes {
		over = l.cutLargest()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !tracked.cut {
			tracked.bytes -= int64(bytes)
			l.bytes -= int64(bytes)
		}
	}, over
}

// cutLargest takes what the connection with the most bytes holds off the load; its
// requests end soon.
func (l *requestLoad) cutLargest() (found net.Conn) {
	for conn, tracked := range l.connections {
		if !tracked.cut && (found == nil || tracked.bytes > l.connections[found].bytes) {
			found = conn
		}
	}
	if tracked := l.connections[found]; tracked != nil {
		tracked.cut = true
		l.bytes -= tracked.bytes
	}
	return found
}
