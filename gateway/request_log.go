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

// requestIDHeader carries the id of a request, in the request and in its response.
const requestIDHeader = "X-Request-Id"

// requestInfo collects facts about a request while it is served. One goroutine writes it.
type requestInfo struct {
	id        string
	operation string
	address   string // of the client, as rate limits use it
	namespace string
	user      string
	reason    string // of the problem that it ended with
	cause     error

	body    *requestBody // nil: it has none
	granted atomic.Bool  // a right; set by the items of a batch at once
}

type requestInfoKey struct{}

// requestInfoOf returns the info of the request in the context; never nil.
func requestInfoOf(ctx context.Context) *requestInfo {
	if info, ok := ctx.Value(requestInfoKey{}).(*requestInfo); ok {
		return info
	}
	return &requestInfo{}
}

// requestLogger writes the access log, counts requests, and confines what one of them can cost.
type requestLogger struct {
	proxies   httpserver.Proxies
	bodies    *bodyQuota
	metrics   *Metrics
	panics    *panics.Guard
	accessLog *slog.Logger
	now       func() time.Time
}

// logRequests is the middleware that writes one line for each request. The line contains
// no header, body or query: each may contain a secret.
func (l *requestLogger) logRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		started := l.now()
		info := &requestInfo{id: request.Header.Get(requestIDHeader), operation: "other", address: httpserver.Source(l.proxies.Client(request))}
		if !isRequestID(info.id) {
			info.id = "req_" + ulid.MustNew(ulid.Timestamp(started), rand.Reader).String()
		}
		w.Header().Set(requestIDHeader, info.id)
		answer := &loggedResponse{ResponseWriter: w, status: http.StatusOK}
		l.metrics.requestStarted()
		defer func() {
			took := l.now().Sub(started)
			info.body.release(answer.status, info.granted.Load())
			l.metrics.requestServed(info.operation, answer.status, took)
			l.logRequest(request, info, answer, took)
		}()
		request = request.WithContext(context.WithValue(request.Context(), requestInfoKey{}, info))
		if info.body = l.newRequestBody(request); info.body != nil {
			request.Body = info.body // of the copied request
		}
		defer l.recoverPanic(answer, request)
		next.ServeHTTP(answer, request)
	})
}

// recoverPanic turns a panic into the response of one request: 500, or a broken connection
// if the response has begun. It must be deferred.
func (l *requestLogger) recoverPanic(w *loggedResponse, request *http.Request) {
	value := recover()
	if value == nil {
		return
	}
	if value == http.ErrAbortHandler { //nolint:errorlint // as package net/http compares it
		panic(value)
	}
	p := internalProblem(l.panics.Recovered(panics.Request, value))
	logProblem(request.Context(), p)
	if w.hasWritten {
		w.status = p.Status // for the log; the caller sees that the answer breaks off
		panic(http.ErrAbortHandler)
	}
	clear(w.Header())
	w.Header().Set(requestIDHeader, p.RequestID)
	p.write(w, p.RequestID)
}

func (l *requestLogger) logRequest(request *http.Request, info *requestInfo, answer *loggedResponse, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case info.operation == "probe":
		level = slog.LevelDebug
	case answer.status >= http.StatusInternalServerError:
		level = slog.LevelError
	}
	attributes := []slog.Attr{
		slog.String("requestID", info.id), slog.String("operation", info.operation), slog.String("method", request.Method),
		slog.Int("status", answer.status), slog.Float64("milliseconds", float64(took.Microseconds())/1000), slog.Int64("bytes", answer.bytes),
	}
	for _, optional := range []slog.Attr{slog.String("user", info.user), slog.String("namespace", info.namespace), slog.String("reason", info.reason)} {
		if optional.Value.String() != "" {
			attributes = append(attributes, optional)
		}
	}
	if info.cause != nil {
		attributes = append(attributes, slog.String("cause", info.cause.Error()))
	}
	l.accessLog.LogAttrs(request.Context(), level, "request", attributes...)
}

// isRequestID reports whether an id is fit for a log and a header unchanged.
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

// loggedResponse records the status and size of a response.
type loggedResponse struct {
	http.ResponseWriter

	status     int
	bytes      int64
	hasWritten bool
}

// WriteHeader implements http.ResponseWriter.
func (w *loggedResponse) WriteHeader(status int) {
	if !w.hasWritten {
		w.status, w.hasWritten = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *loggedResponse) Write(p []byte) (int, error) {
	w.hasWritten = true
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *loggedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }
