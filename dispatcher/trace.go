// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"time"
)

// stage is how far an attempt has come.
type stage int

const (
	stageBegun stage = iota
	stageLookup
	stageConnect
	stageTLS
	stageRequest
	stageAnswer
	stageBody
)

// trace follows one attempt through the transport. The transport may go on
// dialling for an attempt that has long got another connection, so every field
// is guarded, and what comes late changes nothing that was read before.
type trace struct {
	mu           sync.Mutex
	stage        stage
	since        time.Time // when the stage began
	timings      Timings
	remote       netip.Addr
	http2        bool
	wroteHeaders bool
}

type traceKey struct{}

// traceFrom returns the trace of the attempt that a connection is made for.
func traceFrom(ctx context.Context) *trace {
	t, _ := ctx.Value(traceKey{}).(*trace)
	return t
}

// attach returns a context with which the transport reports to t.
func (t *trace) attach(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, traceKey{}, t)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              t.gotConn,
		TLSHandshakeStart:    func() { t.enter(stageTLS) },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { t.endTLS() },
		WroteHeaders:         t.endHeaders,
		WroteRequest:         func(httptrace.WroteRequestInfo) { t.enter(stageAnswer) },
		GotFirstResponseByte: t.firstByte,
		// No Got1xxResponse: without it the transport bounds them together.
	})
}

// enter begins a stage, unless the attempt is further already.
func (t *trace) enter(s stage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s > t.stage {
		t.stage, t.since = s, time.Now()
	}
}

// end adds the time since a stage began, if the attempt is still in it.
func (t *trace) end(s stage, part *time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stage == s && *part == 0 {
		*part = time.Since(t.since)
	}
}

func (t *trace) endLookup()  { t.end(stageLookup, &t.timings.DNS) }
func (t *trace) endConnect() { t.end(stageConnect, &t.timings.Connect) }
func (t *trace) endTLS()     { t.end(stageTLS, &t.timings.TLS) }
func (t *trace) firstByte()  { t.end(stageAnswer, &t.timings.FirstByte) }

func (t *trace) endHeaders() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wroteHeaders = true
}

func (t *trace) gotConn(info httptrace.GotConnInfo) {
	remote := remoteAddr(info.Conn)
	secure, _ := info.Conn.(*tls.Conn)
	overHTTP2 := secure != nil && secure.ConnectionState().NegotiatedProtocol == "h2"
	t.enter(stageRequest)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remote, t.http2 = remote, overHTTP2
}

// mayRepeat reports whether the transport may take another connection for this
// request. HTTP/1.1 asks only after it wrote nothing. HTTP/2 also asks after
// GOAWAY, REFUSED_STREAM and even PROTOCOL_ERROR, when the endpoint may have
// taken the delivery: there, headers once written are never written again.
func (t *trace) mayRepeat() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.http2 || !t.wroteHeaders
}

// seen is what is known of an attempt at its end.
type seen struct {
	stage   stage
	timings Timings
	remote  netip.Addr
	http2   bool
}

func (t *trace) snapshot() seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	return seen{stage: t.stage, timings: t.timings, remote: t.remote, http2: t.http2}
}

func remoteAddr(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
