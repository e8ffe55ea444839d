// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// headerTimeout is how long a TLS handshake, or the header of a request, may
	// take to arrive.
	headerTimeout = 10 * time.Second
	// BodyTimeout is how long the body of a request may take to arrive, from the
	// moment that the handler begins to read it.
	BodyTimeout = 10 * time.Second
	// writeTimeout is how long a request may take from the end of its header to the
	// end of its answer. Streams set deadlines of their own.
	writeTimeout = 90 * time.Second
	// discardTimeout and discardBytes bound what is read of a body whose answer is
	// given already: a client that sends before it reads must not meet a closed
	// connection before it has the answer.
	discardTimeout = time.Second
	discardBytes   = 16 << 20
	// unreadTimeout is how long a body over HTTP/2 whose answer is given may take to
	// arrive, not to count as frames beside requests.
	unreadTimeout = 10 * time.Millisecond
	// discardRate and discardBurst bound in bytes, a second and at once, what all
	// connections together may have read away. Reading costs CPU that requests need,
	// so beyond it a connection closes at once.
	discardRate  = 16 << 20
	discardBurst = 32 << 20
	// sendBufferBytes is what the system keeps of answers that a peer does not read.
	// It lets that grow to megabytes a connection otherwise, all of which handlers
	// have to make first.
	sendBufferBytes = 64 << 10
	// MaxHeaderBytes bounds the header of a request.
	MaxHeaderBytes = 32 << 10

	// Of HTTP/2: what a peer that sends and is not read can fill, how many requests
	// a connection has at a time, and when a silent peer is asked for a sign of life
	// and given up.
	streamBufferBytes     = 256 << 10
	connectionBufferBytes = 512 << 10
	// A frame of a body is read whole before its handler gets any of it, so it has to
	// be smaller than frameBurst.
	maxFrameBytes = 16 << 10
	maxStreams    = 100
	pingAfter     = 30 * time.Second
	pingTimeout   = 15 * time.Second

	// endGrace is how long handlers may go on whose connection was cut.
	endGrace = time.Second
)

const (
	// DefaultConnections is for a server whose clients are many.
	DefaultConnections = 2048
	// FewConnections is for a server of metrics, probes or profiles.
	FewConnections = 128
	// DefaultIdleTimeout is longer than load balancers keep a connection that
	// nothing goes over: 60 s as a rule, 600 s with some, an hour by Envoy's default.
	// Of the two ends the one that sends requests has to be the first to close, or a
	// request meets a closed connection.
	DefaultIdleTimeout = 65 * time.Minute
)

// Options are what a Server is made of.
type Options struct {
	// Listener names the server in metrics: api, metrics, probes or profiles.
	Listener string
	Handler  http.Handler
	// TLS is nil for none.
	TLS *tls.Config
	// Connections bounds those that are open at a time; 0: FewConnections. Beyond it
	// a connection that serves no request makes room.
	Connections int
	// IdleTimeout is how long a connection without a request stays open; 0:
	// DefaultIdleTimeout.
	IdleTimeout time.Duration
	// Logger gets what net/http says of connections, at level debug; nil: nobody.
	Logger *slog.Logger
	// Metrics is nil for none.
	Metrics *Metrics
}

// protocolHTTP2 is its name in ALPN.
const protocolHTTP2 = "h2"

// connectionKey is that of a request's connection in its context.
type connectionKey struct{}

// Server serves HTTP/1.1, and HTTP/2 over TLS. Make it with New.
type Server struct {
	http          *http.Server
	tls           *tls.Config
	handler       http.Handler
	connections   *connections
	metrics       *Metrics
	listener      string
	discardBudget *rate.Limiter
	load          *requestLoad
	turns         *turns

	bodyTimeout time.Duration

	retired  atomic.Bool
	underWay atomic.Int64
}

// New makes a server that listens to nothing yet.
func New(o Options) *Server {
	if o.Connections == 0 {
		o.Connections = FewConnections
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = DefaultIdleTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		handler: o.Handler, metrics: o.Metrics, listener: o.Listener, bodyTimeout: BodyTimeout,
		discardBudget: rate.NewLimiter(discardRate, discardBurst),
		connections:   newConnections(o.Connections, o.Listener, o.Metrics),
	}
	s.load, s.turns = newRequestLoad(o.Connections, answerBytes), newTurns()
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTimeout, WriteTimeout: writeTimeout, IdleTimeout: o.IdleTimeout, MaxHeaderBytes: MaxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamBufferBytes, MaxReceiveBufferPerConnection: connectionBufferBytes,
			MaxReadFrameSize: maxFrameBytes, SendPingTimeout: pingAfter, PingTimeout: pingTimeout,
		},
		ConnState: s.connections.stateChanged,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, conn)
		},
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	if o.TLS != nil {
		s.tls = o.TLS.Clone()
		s.tls.NextProtos = []string{protocolHTTP2, "http/1.1"}
		s.tls.GetConfigForClient = frameBudgetConfig
		s.http.TLSConfig = s.tls
	}
	return s
}

// Serve answers requests until the server is shut down; an error says that it had
// to end before.
func (s *Server) Serve(listener net.Listener) error {
	server, listener := s.Parts(listener)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.listener, err)
	}
	return nil
}

// Parts are what Serve serves with, for a caller that runs servers itself: net/http's server,
// and the listener that it has to be given.
func (s *Server) Parts(listener net.Listener) (*http.Server, net.Listener) {
	listener = s.connections.listen(listener)
	if s.tls != nil {
		listener = tls.NewListener(listener, s.tls)
	}
	return s.http, listener
}

// OnShutdown registers what ends requests that would go on for ever. Call it before
// Serve.
func (s *Server) OnShutdown(end func()) { s.http.RegisterOnShutdown(end) }

// Retire asks every client that sends a request from now on to use another
// connection for its next one. Connections that are idle stay open: their clients
// may not know yet that this server ends.
func (s *Server) Retire() { s.retired.Store(true) }

// Shutdown takes no more connections, closes those that are idle, and lets the
// requests under way end. When ctx ends before them it cuts them off and says how
// many these were.
func (s *Server) Shutdown(ctx context.Context) (cut int) {
	if s.http.Shutdown(ctx) == nil {
		return 0
	}
	cut = int(s.underWay.Load())
	s.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(endGrace); s.underWay.Load() > 0 && time.Now().Before(end); {
		<-tick.C
	}
	return cut
}

// Close cuts everything off.
func (s *Server) Close() { _ = s.http.Close() }

// refuse answers a request that is one too many. Without a body the answer needs no
// room that the peer has to make.
func (s *Server) refuse(w http.ResponseWriter) {
	s.metrics.requestRefused(s.listener)
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusServiceUnavailable)
}

func (s *Server) serve(w http.ResponseWriter, request *http.Request) {
	s.underWay.Add(1)
	defer s.underWay.Add(-1)
	e := newExchange(s, w, request)
	if conn, ok := request.Context().Value(connectionKey{}).(net.Conn); ok {
		defer s.connections.beginRequest(conn)()
		end, others, ok := s.load.begin(conn)
		if !ok {
			s.refuse(w)
			return
		}
		defer end()
		e.attach(conn)
		defer e.detach()
		if e.turn, ok = s.turns.begin(request.Context(), others); !ok {
			s.metrics.turnGivenUp(s.listener)
			return
		}
		defer e.turn.end()
	}
	s.handler.ServeHTTP(e, e.request)
	e.finish()
}
