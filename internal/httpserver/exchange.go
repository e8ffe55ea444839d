// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/time/rate"
)

// exchange is one request and its answer.
type exchange struct {
	http.ResponseWriter

	server  *Server
	request *http.Request // as the handler gets it
	body    *exchangeBody // nil: the request has none
	control *http.ResponseController
	wrote   bool
	turn    *turn // nil: it takes none

	conn        net.Conn     // nil: it is not known
	frameBudget *frameBudget // of it; nil: there is none
}

// attach sets the connection of an exchange.
func (e *exchange) attach(conn net.Conn) {
	e.conn = conn
	if tracked, ok := connectionWithoutTLS(conn).(*trackedConnection); ok && e.request.ProtoMajor > 1 {
		e.frameBudget = tracked.frameBudget.Load()
		e.frameBudget.refund(headerFrameBytes(e.request))
	}
}

// detach takes back the refund for a request that its client has given up: a reset
// costs the client nothing.
func (e *exchange) detach() {
	if e.frameBudget != nil && e.request.Context().Err() != nil {
		e.frameBudget.take(float64(headerFrameBytes(e.request)))
	}
}

func newExchange(s *Server, w http.ResponseWriter, request *http.Request) *exchange {
	e := &exchange{ResponseWriter: w, server: s, request: request, control: http.NewResponseController(w)}
	if request.ContentLength != 0 {
		e.body = &exchangeBody{ReadCloser: request.Body, exchange: e}
		e.request = request.WithContext(request.Context())
		e.request.Body = e.body
		if request.ProtoMajor > 1 && (request.Method == http.MethodGet || request.Method == http.MethodHead) {
			_ = request.Body.Close() // HTTP/2 would keep what comes of it for as long as the answer takes
		}
	}
	return e
}

// isUnread reports whether bytes of the body may still come on the connection. A
// stream of HTTP/2 ends alone.
func (e *exchange) isUnread() bool {
	return e.body != nil && !e.body.ended && e.request.ProtoMajor == 1
}

// WriteHeader implements http.ResponseWriter. net/http would read what is left of
// the body first, for as long as that takes to arrive, unless the connection is
// going to be closed.
func (e *exchange) WriteHeader(status int) {
	if status >= http.StatusOK && !e.wrote {
		e.wrote = true
		if e.isUnread() || e.server.retired.Load() {
			e.Header().Set("Connection", "close")
		}
	}
	e.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (e *exchange) Write(p []byte) (int, error) {
	if !e.wrote {
		e.WriteHeader(http.StatusOK)
	}
	e.turn.end() // its client decides how long this takes
	if e.conn == nil {
		return e.ResponseWriter.Write(p)
	}
	taken, over := e.server.load.holdAnswer(e.conn, len(p))
	defer taken()
	if over != nil {
		e.server.metrics.cutOffUnread(e.server.listener)
		_ = connectionWithoutTLS(over).Close() // TLS would wait until the peer takes a farewell
	}
	n, err := e.ResponseWriter.Write(p)
	e.frameBudget.refund(n / answerBytesPerFrame)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// finish ends an exchange whose handler is done.
func (e *exchange) finish() {
	if !e.wrote {
		e.WriteHeader(http.StatusOK)
	}
	if e.frameBudget != nil {
		e.refundUnread()
	}
	if !e.isUnread() {
		return
	}
	if e.mayArrive() && e.control.Flush() == nil {
		_ = e.control.SetReadDeadline(time.Now().Add(discardTimeout))
		_, _ = io.CopyN(io.Discard, budgetedReader{e.body.ReadCloser, e.server.discardBudget}, discardBytes) // whatever comes
	}
	_ = e.control.SetReadDeadline(time.Now()) // net/http reads no more
}

// mayArrive reports whether more of the body may come: a client that waits for 100
// Continue sends nothing after another answer.
func (e *exchange) mayArrive() bool {
	return !e.body.failed && (e.body.begun || e.request.Header.Get("Expect") == "")
}

// refundUnread refunds what has arrived, or does so in a moment, of a body that the
// handler did not read: it belongs to a request, and other requests of the connection
// would wait for it.
func (e *exchange) refundUnread() {
	if e.body == nil || e.body.ended || !e.mayArrive() {
		return
	}
	_ = e.control.SetReadDeadline(time.Now().Add(unreadTimeout))
	rest := refundingReader{budgetedReader{e.body.ReadCloser, e.server.discardBudget}, e.frameBudget}
	_, _ = io.CopyN(io.Discard, rest, streamBufferBytes) // whatever comes
}

// refundingReader refunds what it reads, and no more: frames of a byte each cost what they are.
type refundingReader struct {
	io.Reader

	frameBudget *frameBudget
}

// Read implements io.Reader.
func (r refundingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 && !errors.Is(err, io.ErrShortBuffer) {
		r.frameBudget.refund(n)
	}
	return n, err
}

// budgetedReader reads until the budget that all connections share is used up.
type budgetedReader struct {
	io.Reader

	budget *rate.Limiter
}

// Read implements io.Reader.
func (b budgetedReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == nil && !b.budget.AllowN(time.Now(), n) {
		err = io.ErrShortBuffer
	}
	return n, err
}

// exchangeBody is the body of a request, which has BodyTimeout to arrive from the first read.
type exchangeBody struct {
	io.ReadCloser

	exchange *exchange
	begun    bool
	ended    bool // all of it is read
	failed   bool
}

// Read implements io.Reader.
func (b *exchangeBody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		_ = b.exchange.control.SetReadDeadline(time.Now().Add(b.exchange.server.bodyTimeout))
	}
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.exchange.frameBudget.refund(n + readFrames)
	}
	switch {
	case errors.Is(err, io.EOF):
		b.ended = true
		// What is read from now on is only whether the client hangs up. A deadline
		// would look like that, and end the request.
		_ = b.exchange.control.SetReadDeadline(time.Time{})
	case err != nil:
		b.failed = true
		if errors.Is(err, os.ErrDeadlineExceeded) {
			b.exchange.server.metrics.bodyTimedOut(b.exchange.server.listener)
		}
	}
	return n, err
}
