// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// connections bounds those that are open. Once so many are, a new one takes the
// place of one that serves no request: of a peer that never sent one before those
// that did, of the peer with the most of its kind, and of these the one that has been
// so for longest. A peer is not bounded by itself: it may be a load balancer.
type connections struct {
	most     int
	listener string
	metrics  *Metrics

	mu     sync.Mutex
	room   *sync.Cond // a connection has closed or become idle, or the listener has
	open   map[*connection]struct{}
	counts map[kind]int
	closed bool
}

// kind is what connections are compared with each other in.
type kind struct {
	peer  netip.Addr
	state http.ConnState
}

// connection is one of them.
type connection struct {
	net.Conn

	of    *connections
	kind  kind
	since time.Time // in its state
	gone  bool

	handlers int  // that have begun and not ended
	isIdle   bool // to http.Server: no stream is open

	allowance atomic.Pointer[allowance] // nil: not over HTTP/2
}

// Read implements net.Conn.
func (one *connection) Read(p []byte) (int, error) {
	n, err := one.Conn.Read(p)
	one.allowance.Load().spend(n)
	return n, err
}

func newConnections(most int, listener string, metrics *Metrics) *connections {
	c := &connections{most: most, listener: listener, metrics: metrics, open: map[*connection]struct{}{}, counts: map[kind]int{}}
	c.room = sync.NewCond(&c.mu)
	return c
}

func (c *connections) listen(listener net.Listener) net.Listener {
	return &boundedListener{Listener: listener, connections: c}
}

// boundedListener accepts connections within the bound.
type boundedListener struct {
	net.Listener

	connections *connections
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := accepted.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBufferBytes) // of one that has just gone: its first read tells
	}
	return l.connections.admit(accepted)
}

// Close implements net.Listener.
func (l *boundedListener) Close() error {
	l.connections.mu.Lock()
	l.connections.closed = true
	l.connections.room.Broadcast()
	l.connections.mu.Unlock()
	return l.Listener.Close()
}

// admit waits for room, which takes as long as every connection serves a request.
func (c *connections) admit(accepted net.Conn) (net.Conn, error) {
	one := &connection{Conn: accepted, of: c, kind: kind{peer: peerOf(accepted), state: http.StateNew}, since: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) >= c.most {
		if c.closed {
			_ = accepted.Close()
			return nil, net.ErrClosed
		}
		victim := c.leastUseful()
		if victim == nil {
			c.room.Wait()
			continue
		}
		c.remove(victim)
		victim.allowance.Load().close()
		c.metrics.evicted(c.listener, victim.kind.state)
		_ = victim.Conn.Close()
	}
	c.open[one] = struct{}{}
	c.count(one.kind, 1)
	return one, nil
}

// leastUseful is the connection to make room with; nil: each serves a request.
func (c *connections) leastUseful() *connection {
	var found *connection
	for one := range c.open {
		if one.kind.state != http.StateNew && one.kind.state != http.StateIdle {
			continue
		}
		if found == nil || c.isLessUseful(one, found) {
			found = one
		}
	}
	return found
}

func (c *connections) isLessUseful(a, b *connection) bool {
	if a.kind.state != b.kind.state {
		return a.kind.state == http.StateNew
	}
	if a.kind.peer != b.kind.peer && c.counts[a.kind] != c.counts[b.kind] {
		return c.counts[a.kind] > c.counts[b.kind]
	}
	return a.since.Before(b.since)
}

// changed is http.Server's ConnState. It calls a connection active from the first byte
// of a request on; here it serves one once the header is whole, see serves, and is new
// until then: a header that never ends keeps no place from others.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	one := c.find(conn)
	if one == nil || state == http.StateClosed || state == http.StateHijacked {
		return // Close tells
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one.isIdle = state == http.StateIdle
	if state == http.StateActive {
		state = http.StateNew
	}
	c.enter(one, state)
}

// serves is told that a handler has begun, and returns what is to be called when
// it has ended. A stream of HTTP/2 may have been reset before it began: then
// http.Server has said already that the connection is idle, and does not again.
func (c *connections) serves(conn net.Conn) (ended func()) {
	one := c.find(conn)
	if one == nil {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one.handlers++
	c.enter(one, http.StateActive)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		one.handlers--
		if one.handlers == 0 && one.isIdle {
			c.enter(one, http.StateIdle)
		}
	}
}

func (c *connections) find(conn net.Conn) *connection {
	one, _ := bare(conn).(*connection)
	return one
}

func (c *connections) enter(one *connection, state http.ConnState) {
	if one.gone || one.kind.state == state {
		return
	}
	c.count(one.kind, -1)
	one.kind.state, one.since = state, time.Now()
	c.count(one.kind, 1)
	if state == http.StateIdle {
		c.room.Signal()
	}
}

func (c *connections) remove(one *connection) {
	if one.gone {
		return
	}
	one.gone = true
	delete(c.open, one)
	c.count(one.kind, -1)
	c.room.Signal()
}

func (c *connections) count(of kind, by int) {
	c.metrics.connections(c.listener, of.state, by)
	if c.counts[of] += by; c.counts[of] == 0 {
		delete(c.counts, of)
	}
}

// Close implements net.Conn.
func (one *connection) Close() error {
	one.of.mu.Lock()
	one.of.remove(one)
	one.of.mu.Unlock()
	one.allowance.Load().close()
	return one.Conn.Close()
}

// CloseWrite lets net/http end its side first, so that the peer gets the answer.
func (one *connection) CloseWrite() error {
	if half, ok := one.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// bare is a connection without TLS.
func bare(conn net.Conn) net.Conn {
	if secured, ok := conn.(*tls.Conn); ok {
		return secured.NetConn()
	}
	return conn
}

func peerOf(conn net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{} // a unix socket
	}
	return at.Addr().Unmap()
}
