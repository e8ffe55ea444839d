// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"
)

// Names of protocols in TLS (ALPN).
const (
	protocolHTTP1 = "http/1.1"
	protocolHTTP2 = "h2"
)

// connection is one to an endpoint that nothing has been sent on.
type connection struct {
	socket   *socket
	conn     net.Conn  // the socket, or TLS on it
	notAfter time.Time // of the endpoint's certificate; zero without TLS
	http2    bool
}

// connect makes a connection for a request. It ends with the attempt.
func (t *Transport) connect(ctx context.Context, r *Request, p *progress, overHTTP1 bool) (*connection, error) {
	host, port := r.URL.Hostname(), r.port()
	raw, err := t.dialer.dial(ctx, host, port, r, p)
	if err != nil {
		return nil, err
	}
	c := &connection{socket: newSocket(raw)}
	c.conn = c.socket
	if r.URL.Scheme != "https" {
		return c, nil
	}
	config := t.tls.Clone()
	config.ServerName = host
	config.ClientSessionCache = &connectionSessions{ClientSessionCache: config.ClientSessionCache}
	config.NextProtos = []string{protocolHTTP2, protocolHTTP1}
	if overHTTP1 {
		config.NextProtos = []string{protocolHTTP1}
	}
	secure := tls.Client(c.socket, config)
	p.enter(StageTLS)
	c.socket.beginHandshake()
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.socket.Close()
		if !c.socket.answered.Load() {
			p.unanswered()
		}
		return nil, err
	}
	c.socket.endHandshake()
	p.end(StageTLS)
	state := secure.ConnectionState()
	c.conn, c.http2 = secure, state.NegotiatedProtocol == protocolHTTP2
	if len(state.PeerCertificates) > 0 {
		c.notAfter = state.PeerCertificates[0].NotAfter
	}
	return c, nil
}

func connectionRemote(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
