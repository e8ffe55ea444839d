// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// APIProxy stands between a manager or gateway and the API server and brings
// about what a busy control plane does to its clients: watches that lag behind
// writes, writes whose answer never comes although they were carried out, and
// requests that hang.
type APIProxy struct {
	server *httptest.Server

	watchLag  atomic.Int64 // time.Duration
	writes    atomic.Int64
	loseEvery atomic.Int64
	creates   atomic.Int64
	loseNth   atomic.Int64
	refuse    atomic.Bool
	lost      atomic.Int64
	refused   atomic.Int64
	held      atomic.Pointer[chan struct{}] // closed when requests go on
}

// StartAPIProxy starts a proxy that changes nothing yet. The caller closes it.
func (s *Stack) StartAPIProxy() (*APIProxy, error) {
	target, err := url.Parse(s.ControlPlane.APIServerURL())
	if err != nil {
		return nil, err
	}
	config := rest.AnonymousClientConfig(s.ControlPlane.AdminConfig())
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("set up API proxy: %w", err)
	}
	p := &APIProxy{}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:      transport,
		FlushInterval:  -1, // watches
		ErrorLog:       log.New(io.Discard, "", 0),
		ModifyResponse: p.answer,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if held := p.held.Load(); held != nil {
			select {
			case <-*held:
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
		}
		if isProxiedStatusWrite(r) && p.refuse.Load() {
			p.refused.Add(1)
			http.Error(w, "refused by the proxy", http.StatusInternalServerError)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	p.server.EnableHTTP2 = true
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.StartTLS() // clients send their tokens over TLS only
	return p, nil
}

// standIn makes a client configuration lead to the proxy.
func (p *APIProxy) standIn(config *rest.Config) {
	config.Host = p.server.URL
	config.CAFile, config.CAData = "", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
}

// Close ends the proxy and every connection through it.
func (p *APIProxy) Close() { _ = p.server.Config.Close() }

// LagWatches holds back all that watches tell by this long.
func (p *APIProxy) LagWatches(by time.Duration) { p.watchLag.Store(int64(by)) }

// LoseAnswers drops the answer of every nth write of a status after the API
// server has carried it out; 0 drops none.
func (p *APIProxy) LoseAnswers(every int) { p.loseEvery.Store(int64(every)) }

// LoseCreates drops the answer of every nth create of a delivery after the API
// server has carried it out; 0 drops none.
func (p *APIProxy) LoseCreates(every int) { p.loseNth.Store(int64(every)) }

// Hold lets new requests hang until the returned function is called. Watches
// that are open go on.
func (p *APIProxy) Hold() (release func()) {
	held := make(chan struct{})
	p.held.Store(&held)
	return sync.OnceFunc(func() {
		p.held.Store(nil)
		close(held)
	})
}

// RefuseWrites answers 500 to writes of a status and passes none on.
func (p *APIProxy) RefuseWrites(refuse bool) { p.refuse.Store(refuse) }

// Lost is how many answers were dropped.
func (p *APIProxy) Lost() int { return int(p.lost.Load()) }

// Refused is how many writes were not passed on.
func (p *APIProxy) Refused() int { return int(p.refused.Load()) }

// errAnswerLost makes the proxy hang up instead of answering.
var errAnswerLost = errors.New("the answer is lost")

func isProxiedStatusWrite(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/status")
}

func isProxiedCreate(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/webhookdeliveries")
}

func (p *APIProxy) answer(response *http.Response) error {
	request := response.Request
	if isProxiedCreate(request) {
		if every := p.loseNth.Load(); every > 0 && p.creates.Add(1)%every == 0 {
			p.lost.Add(1)
			return errAnswerLost
		}
	}
	if isProxiedStatusWrite(request) {
		if every := p.loseEvery.Load(); every > 0 && p.writes.Add(1)%every == 0 {
			p.lost.Add(1)
			return errAnswerLost
		}
	}
	if request.URL.Query().Get("watch") != "" {
		response.Body = newLateWatch(request.Context(), response.Body, func() time.Duration { return time.Duration(p.watchLag.Load()) })
	}
	return nil
}

// lateWatch is a body whose every byte comes some time after it was there.
type lateWatch struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // ends with the request
	chunks chan chunk
	rest   []byte
}

type chunk struct {
	bytes []byte
	due   time.Time
	err   error
}

func newLateWatch(ctx context.Context, body io.ReadCloser, lag func() time.Duration) *lateWatch {
	l := &lateWatch{ReadCloser: body, ctx: ctx, chunks: make(chan chunk, 4096)}
	go func() {
		defer close(l.chunks)
		for {
			buffer := make([]byte, 32<<10)
			n, err := body.Read(buffer)
			select {
			case l.chunks <- chunk{buffer[:n], time.Now().Add(lag()), err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

// Read implements io.Reader.
func (l *lateWatch) Read(to []byte) (int, error) {
	for len(l.rest) == 0 {
		next, ok := <-l.chunks
		if !ok {
			return 0, io.EOF
		}
		select {
		case <-time.After(time.Until(next.due)):
		case <-l.ctx.Done():
			return 0, l.ctx.Err()
		}
		if next.err != nil && len(next.bytes) == 0 {
			return 0, next.err
		}
		l.rest = next.bytes
	}
	n := copy(to, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}
