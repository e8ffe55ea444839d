// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"sync"
	"sync/atomic"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// Endpoint is one that runs.
type Endpoint struct {
	listener net.Listener
	scheme   string
	ca       *receiver.Authority // nil without TLS

	connections atomic.Int64

	mu         sync.Mutex
	open       map[net.Conn]struct{}
	deliveries Deliveries
	ended      bool
}

// URL is where it is.
func (e *Endpoint) URL() string { return e.scheme + "://" + e.Addr() + "/" }

// Scheme is http or https.
func (e *Endpoint) Scheme() string { return e.scheme }

// Addr is where it is on loopback, host:port.
func (e *Endpoint) Addr() string {
	_, port, _ := net.SplitHostPort(e.listener.Addr().String()) // it has one
	return net.JoinHostPort("127.0.0.1", port)
}

// CA is the PEM of the authority that signed its certificate; nil without TLS.
func (e *Endpoint) CA() []byte {
	if e.ca == nil {
		return nil
	}
	return e.ca.PEM()
}

// Pool is the same as a pool.
func (e *Endpoint) Pool() *x509.CertPool {
	if e.ca == nil {
		return nil
	}
	return e.ca.Pool()
}

// Requests is how many whole requests have arrived.
func (e *Endpoint) Requests() int { return e.Deliveries().Requests() }

// Deliveries are those of which a whole request has arrived.
func (e *Endpoint) Deliveries() Deliveries {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.deliveries)
}

// count takes in a whole request.
func (e *Endpoint) count(delivery string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deliveries[delivery]++
}

// Connections is how many connections were made.
func (e *Endpoint) Connections() int { return int(e.connections.Load()) }

// Close ends it, and every connection.
func (e *Endpoint) Close() {
	_ = e.listener.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	for conn := range e.open {
		_ = conn.Close()
	}
}

// startEndpoint listens on a free port of loopback, over TLS for these protocols if there are
// any. serve has the connection to itself, which is closed when it returns.
func startEndpoint(protocols []string, serve func(*Endpoint, net.Conn)) (*Endpoint, error) {
	if protocols == nil {
		return startTLSEndpoint(nil, nil, serve)
	}
	authority, config, err := tlsServerConfig(protocols)
	if err != nil {
		return nil, err
	}
	return startTLSEndpoint(authority, config, serve)
}

func (e *Endpoint) track(conn net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		_ = conn.Close()
		return false
	}
	e.open[conn] = struct{}{}
	return true
}

func (e *Endpoint) untrack(conn net.Conn) {
	_ = conn.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.open, conn)
}

// resetEndpointConn makes the end of a connection a reset.
func resetEndpointConn(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// endpointListenHost is where endpoints listen: nothing from outside gets into a network of
// its own.
func endpointListenHost() string {
	if inDistanceNetwork() {
		return "0.0.0.0"
	}
	return "127.0.0.1"
}
