// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"bbmcp.quietstack.com/webhooks/internal/httpserver"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

// requestIDHeader carries the id of a request both ways.
const requestIDHeader = "X-Request-Id"

// requestInfo is what becomes known of a request while it is served. One goroutine
// serves it.
type requestInfo struct {
	id        string
	operation string
	address   string // of the client, as limits know it
	namespace string
	user      string
	reason    string // of the problem that it ended with
	cause     error

	body    *requestBody // nil: it has none
	granted atomic.Bool  // a right; set by the items of a batch at once
}

type requestInfoKey struct{}

// requestInfoOf is the note of a request; never nil.
func requestInfoOf(ctx context.Context) *requestInfo {
	if n, ok := ctx.Value(requestInfoKey{}).(*requestInfo); ok {
		return n
	}
	return &requestInfo{}
}

// logProblem puts the request's id into a problem, and the problem into the log.
func logProblem(ctx context.Context, p *problem) {
	n := requestInfoOf(ctx)
	p.RequestID = n.id
	n.reason = p.Reason
	n.cause = p.cause
}

// logRequests serves a request and writes one line about it: no header, no body, no
// query, because each of them may hold a secret.
func (g *Gateway) logRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		started := g.now()
		n := &requestInfo{id: request.Header.Get(requestIDHeader), operation: "other", address: httpserver.Source(g.proxies.Client(request))}
		if !isRequestID(n.id) {
			n.id = "req_" + ulid.MustNew(ulid.Timestamp(started), rand.Reader).String()
		}
		w.Header().Set(requestIDHeader, n.id)
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		g.metrics.started()
		defer func() {
			took := g.now().Sub(started)
			n.body.release(seen.status, n.granted.Load())
			g.metrics.served(n.operation, seen.status, took)
			g.logRequest(request, n, seen, took)
		}()
		request = request.WithContext(context.WithValue(request.Context(), requestInfoKey{}, n))
		if n.body = g.newRequestBody(request); n.body != nil {
			request.Body = n.body // of our copy
		}
		defer g.recoverPanic(seen, request)
		next.ServeHTTP(seen, request)
	})
}

// recoverPanic makes a panic the answer to one request: 500, or a broken answer if it
// has begun. It is to be deferred.
func (g *Gateway) recoverPanic(w *statusWriter, request *http.Request) {
	value := recover()
	if value == nil {
		return
	}
	if value == http.ErrAbortHandler { //nolint:errorlint // as package net/http compares it
		panic(value)
	}
	p := internalProblem(g.panics.Recovered(panics.Request, value))
	logProblem(request.Context(), p)
	if w.wrote {
		w.status = p.Status // for the log; the caller sees that the answer breaks off
		panic(http.ErrAbortHandler)
	}
	clear(w.Header())
	w.Header().Set(requestIDHeader, p.RequestID)
	p.write(w, p.RequestID)
}

func (g *Gateway) logRequest(request *http.Request, n *requestInfo, seen *statusWriter, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case n.operation == "probe":
		level = slog.LevelDebug
	case seen.status >= http.StatusInternalServerError:
		level = slog.LevelError
	}
	attributes := []slog.Attr{
		slog.String("requestID", n.id), slog.String("operation", n.operation), slog.String("method", request.Method),
		slog.Int("status", seen.status), slog.Float64("milliseconds", float64(took.Microseconds())/1000), slog.Int64("bytes", seen.bytes),
	}
	for _, optional := range []slog.Attr{slog.String("user", n.user), slog.String("namespace", n.namespace), slog.String("reason", n.reason)} {
		if optional.Value.String() != "" {
			attributes = append(attributes, optional)
		}
	}
	if n.cause != nil {
		attributes = append(attributes, slog.String("cause", n.cause.Error()))
	}
	g.accessLog.LogAttrs(request.Context(), level, "request", attributes...)
}

// isRequestID accepts what can stand in a log and a header as it is.
func isRequestID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// statusWriter remembers what was answered.
type statusWriter struct {
	http.ResponseWriter

	status int
	bytes  int64
	wrote  bool
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(p []byte) (int, error) {
	w.wrote = true
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
