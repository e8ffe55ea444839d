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

// load bounds what all connections together have under way: requests, of which HTTP/2
// has many on one connection, and bytes of answers. What has the most gives way: a
// connection with many requests gets no more of them, one with none always gets one;
// and the connection with the most bytes that are not taken is cut off.
type load struct {
	mostRequests int
	mostBytes    int64

	mu       sync.Mutex
	requests int
	bytes    int64
	each     map[net.Conn]*connectionLoad
}

// connectionLoad is that of one connection.
type connectionLoad struct {
	requests int
	bytes    int64
	cut      bool
}

func newLoad(requests int, bytes int64) *load {
	return &load{mostRequests: requests, mostBytes: bytes, each: map[net.Conn]*connectionLoad{}}
}

// begin counts a request until end, unless there are too many.
func (l *load) begin(conn net.Conn) (end func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.each[conn]
	if one == nil {
		one = &connectionLoad{}
	}
	switch {
	case one.cut,
		l.requests >= l.mostRequests && one.requests > 0,
		l.requests >= l.mostRequests/2 && one.requests >= busyRequests:
		return nil, false
	}
	l.each[conn] = one
	one.requests++
	l.requests++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		one.requests--
		l.requests--
		if one.requests == 0 {
			delete(l.each, conn)
		}
	}, true
}

// hold counts bytes of an answer until they are taken. over is the connection to cut
// off so that there is room; nil: there is.
func (l *load) hold(conn net.Conn, bytes int) (taken func(), over net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.each[conn]
	if one == nil || one.cut {
		return func() {}, nil
	}
	one.bytes += int64(bytes)
	l.bytes += int64(bytes)
	if l.bytes > l.mostBytes {
		over = l.cutLargest()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !one.cut {
			one.bytes -= int64(bytes)
			l.bytes -= int64(bytes)
		}
	}, over
}

// cutLargest takes what the connection with the most bytes holds off the load; its
// requests end soon.
func (l *load) cutLargest() (found net.Conn) {
	for conn, one := range l.each {
		if !one.cut && (found == nil || one.bytes > l.each[found].bytes) {
			found = conn
		}
	}
	if one := l.each[found]; one != nil {
		one.cut = true
		l.bytes -= one.bytes
	}
	return found
}
