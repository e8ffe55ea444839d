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
	limit    int
	listener string
	metrics  *Metrics

	mu     sync.Mutex
	freed  *sync.Cond // a connection has closed or become idle, or the listener has
	open   map[*trackedConnection]struct{}
	counts map[connectionKind]int
	closed bool
}

// connectionKind is what connections are compared with each other in.
type connectionKind struct {
	peer  netip.Addr
	state http.ConnState
}

// trackedConnection is an open one and its state.
type trackedConnection struct {
	net.Conn

	set   *connections
	kind  connectionKind
	since time.Time // in its state
	gone  bool

	handlers int  // that have begun and not ended
	isIdle   bool // to http.Server: no stream is open

	frameBudget atomic.Pointer[frameBudget] // nil: not over HTTP/2
}

// Read implements net.Conn.
func (tracked *trackedConnection) Read(p []byte) (int, error) {
	n, err := tracked.Conn.Read(p)
	tracked.frameBudget.Load().spend(n)
	return n, err
}

func newConnections(limit int, listener string, metrics *Metrics) *connections {
	c := &connections{limit: limit, listener: listener, metrics: metrics, open: map[*trackedConnection]struct{}{}, counts: map[connectionKind]int{}}
	c.freed = sync.NewCond(&c.mu)
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
	l.connections.freed.Broadcast()
	l.connections.mu.Unlock()
	return l.Listener.Close()
}

// admit waits for room, which takes as long as every connection serves a request.
func (c *connections) admit(accepted net.Conn) (net.Conn, error) {
	tracked := &trackedConnection{Conn: accepted, set: c, kind: connectionKind{peer: connectionPeer(accepted), state: http.StateNew}, since: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) >= c.limit {
		if c.closed {
			_ = accepted.Close()
			return nil, net.ErrClosed
		}
		victim := c.leastUseful()
		if victim == nil {
			c.freed.Wait()
			continue
		}
		c.remove(victim)
		victim.frameBudget.Load().close()
		c.metrics.connectionEvicted(c.listener, victim.kind.state)
		_ = victim.Conn.Close()
	}
	c.open[tracked] = struct{}{}
	c.count(tracked.kind, 1)
	return tracked, nil
}

// leastUseful is the connection to make room with; nil: each serves a request.
func (c *connections) leastUseful() *trackedConnection {
	var found *trackedConnection
	for tracked := range c.open {
		if tracked.kind.state != http.StateNew && tracked.kind.state != http.StateIdle {
			continue
		}
		if found == nil || c.isLessUseful(tracked, found) {
			found = tracked
		}
	}
	return found
}

func (c *connections) isLessUseful(a, b *trackedConnection) bool {
	if a.kind.state != b.kind.state {
		return a.kind.state == http.StateNew
	}
	if a.kind.peer != b.kind.peer && c.counts[a.kind] != c.counts[b.kind] {
		return c.counts[a.kind] > c.counts[b.kind]
	}
	return a.since.Before(b.since)
}

// stateChanged is http.Server's ConnState. It calls a connection active from the first byte
// of a request on; here it serves one once the header is whole, see beginRequest, and is new
// until then: a header that never ends keeps no place from others.
func (c *connections) stateChanged(conn net.Conn, state http.ConnState) {
	tracked := c.find(conn)
	if tracked == nil || state == http.StateClosed || state == http.StateHijacked {
		return // Close tells
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	tracked.isIdle = state == http.StateIdle
	if state == http.StateActive {
		state = http.StateNew
	}
	c.setState(tracked, state)
}

// beginRequest counts a handler that begins, and returns what to call when it has
// ended. A stream of HTTP/2 may have been reset before it began: then
// http.Server has said already that the connection is idle, and does not again.
func (c *connections) beginRequest(conn net.Conn) (ended func()) {
	tracked := c.find(conn)
	if tracked == nil {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	tracked.handlers++
	c.setState(tracked, http.StateActive)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		tracked.handlers--
		if tracked.handlers == 0 && tracked.isIdle {
			c.setState(tracked, http.StateIdle)
		}
	}
}

func (c *connections) find(conn net.Conn) *trackedConnection {
	tracked, _ := connectionWithoutTLS(conn).(*trackedConnection)
	return tracked
}

func (c *connections) setState(tracked *trackedConnection, state http.ConnState) {
	if tracked.gone || tracked.kind.state == state {
		return
	}
	c.count(tracked.kind, -1)
	tracked.kind.state, tracked.since = state, time.Now()
	c.count(tracked.kind, 1)
	if state == http.StateIdle {
		c.freed.Signal()
	}
}

func (c *connections) remove(tracked *trackedConnection) {
	if tracked.gone {
		return
	}
	tracked.gone = true
	delete(c.open, tracked)
	c.count(tracked.kind, -1)
	c.freed.Signal()
}

func (c *connections) count(of connectionKind, by int) {
	c.metrics.connectionsChanged(c.listener, of.state, by)
	if c.counts[of] += by; c.counts[of] == 0 {
		delete(c.counts, of)
	}
}

// Close implements net.Conn.
func (tracked *trackedConnection) Close() error {
	tracked.set.mu.Lock()
	tracked.set.remove(tracked)
	tracked.set.mu.Unlock()
	tracked.frameBudget.Load().close()
	return tracked.Conn.Close()
}

// CloseWrite lets net/http end its side first, so that the peer gets the answer.
func (tracked *trackedConnection) CloseWrite() error {
	if half, ok := tracked.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// connectionWithoutTLS is a connection without TLS.
func connectionWithoutTLS(conn net.Conn) net.Conn {
	if secured, ok := conn.(*tls.Conn); ok {
		return secured.NetConn()
	}
	return conn
}

func connectionPeer(conn net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{} // a unix socket
	}
	return at.Addr().Unmap()
}
