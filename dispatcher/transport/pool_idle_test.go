// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

// idleCounts is how many connections nothing is under way on, and how many of them the pool counts.
func (p *pool) idleCounts() (idle, counted int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.destinations {
		idle += len(d.idle)
		for _, c := range d.shared {
			if c.underWay == 0 {
				idle++
			}
		}
	}
	return idle, p.idle
}

// hasFreeSlot reports whether a connection over HTTP/2 would take another request, as far as its settings are known.
func (p *pool) hasFreeSlot() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.destinations {
		if slices.ContainsFunc(d.shared, func(c *http2Conn) bool { return c.client.Available() > 0 }) {
			return true
		}
	}
	return false
}

// An endpoint that takes one request at a time on a connection has as many connections as there are requests.
func TestIdleConnectionsOfADestinationAreFew(t *testing.T) {
	t.Parallel()
	const requests = maxIdlePerDestination + 8
	for name, protocol := range map[string]string{"HTTP/1.1": protocolHTTP1, "HTTP/2": protocolHTTP2} {
		t.Run(name, func(t *testing.T) {
			var arrived atomic.Int32
			answer := make(chan struct{})
			endpoint := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				arrived.Add(1)
				<-answer
			}))
			endpoint.EnableHTTP2 = protocol == protocolHTTP2
			endpoint.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
			endpoint.StartTLS()
			defer endpoint.Close()
			transport := New(Options{
				Policy:  netguard.New(netguard.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
				RootCAs: endpoint.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs,
			})
			to, err := url.Parse(endpoint.URL)
			if err != nil {
				t.Fatal(err)
			}
			var posts sync.WaitGroup
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for i := range requests {
				posts.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					if _, _, err := transport.Post(ctx, &Request{URL: to, Host: to.Host, Attempt: 1}); err != nil {
						t.Error(err)
					}
				})
				for int(arrived.Load()) <= i || transport.pool.hasFreeSlot() {
					<-tick.C
				}
			}
			close(answer)
			posts.Wait()
			idle, counted := transport.pool.idleCounts()
			if idle == 0 || idle > maxIdlePerDestination || counted != idle {
				t.Errorf("%d connections are idle, want at most %d; the pool counts %d", idle, maxIdlePerDestination, counted)
			}
			transport.Close()
			if idle, counted := transport.pool.idleCounts(); idle+counted+transport.pool.idleBytes != 0 {
				t.Errorf("%d connections are left, and %d of %d bytes counted", idle, counted, transport.pool.idleBytes)
			}
		})
	}
}

// An idle connection holds the certificates that the endpoint has sent, as they came and
// parsed.
func TestIdleConnectionsTakeABoundedAmountOfMemory(t *testing.T) {
	p := newPool()
	idle := func(handshake int) (kept int) {
		for i := range maxIdle {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { _ = theirs.Close() })
			s := newSocket(ours)
			s.beginHandshake()
			s.handshakeLeft -= handshake
			s.endHandshake()
			p.put(fmt.Sprint(i), &http1Conn{socket: s, conn: s})
		}
		_, kept = p.idleCounts()
		if p.idleBytes > maxIdleBytes+idleConnBytes+handshakeFactor*maxHandshakeBytes {
			t.Errorf("%d connections take %d bytes, want at most %d", kept, p.idleBytes, maxIdleBytes)
		}
		p.sweep(true)
		return kept
	}
	if kept := idle(8 << 10); kept != maxIdle {
		t.Errorf("%d connections with ordinary certificates are kept, want %d", kept, maxIdle)
	}
	if kept := idle(maxHandshakeBytes); kept > maxIdle/4 {
		t.Errorf("%d connections with as many certificates as there may be are kept", kept)
	}
}
