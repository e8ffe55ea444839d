// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

// Options configure a Transport.
type Options struct {
	// Policy decides which addresses may be connected to.
	Policy *netguard.Policy
	// Resolver looks up names; nil for Go's own, which looks a name up as it is
	// written before it asks the search list for anything.
	Resolver Resolver
	// RootCAs sign endpoints' certificates; nil for those of the system.
	RootCAs *x509.CertPool
}

// Transport makes POSTs. It is safe for concurrent use.
type Transport struct {
	dialer *dialer
	tls    *tls.Config
	http2  *http.Transport
	pool   *pool
}

// New makes a Transport.
func New(options Options) *Transport {
	resolver := options.Resolver
	if resolver == nil {
		resolver = &net.Resolver{PreferGo: true}
	}
	if system, ok := resolver.(*net.Resolver); ok {
		resolver = absoluteResolver{system}
	}
	return &Transport{
		dialer: &dialer{policy: options.Policy, resolver: resolver},
		tls:    newTLSConfig(options),
		http2:  newHTTP2Transport(),
		pool:   newPool(),
	}
}

// Close closes the connections that no request uses. The Transport stays usable.
func (t *Transport) Close() { t.pool.sweep(true) }

var (
	// ErrRefused says that the endpoint turned the request away, and again on a
	// connection of its own: it has processed it neither time.
	ErrRefused = errors.New("the endpoint has not processed the request")

	errHTTP1Wanted = errors.New("the endpoint wants HTTP/1.1 for this request")
	errSilent      = errors.New("nothing came on the connection")
)

// maxConnections is how many connections one request is tried on: one that takes
// nothing any more, one on which it is not processed, and one more.
const maxConnections = 3

// Post sends a request and returns the answer once its head is complete, after some
// of the body. Neither redirects nor what is wrong with the body are errors. ctx
// must have a deadline; everything ends with it.
//
// The request goes out again, once and at once, only if the endpoint says that it
// has not processed it, or has closed the connection before it can have arrived.
func (t *Transport) Post(ctx context.Context, r *Request) (Answer, Snapshot, error) {
	p := &progress{}
	var err error
	again := false // it was sent
	for range maxConnections {
		var answer Answer
		answer, err = t.post(ctx, r, p, again)
		switch {
		case err == nil:
			return answer, p.snapshot(), nil
		case errors.Is(err, errNotSent):
		case errors.Is(err, ErrRefused), errors.Is(err, errUnreached), errors.Is(err, errHTTP1Wanted):
			if again {
				return Answer{}, p.snapshot(), ErrRefused
			}
			again = true
		default:
			return Answer{}, p.snapshot(), err
		}
		if ctx.Err() != nil {
			break
		}
		p.restart()
	}
	return Answer{}, p.snapshot(), err
}

// post sends a request on one connection; on a new one, if it must be.
func (t *Transport) post(ctx context.Context, r *Request, p *progress, fresh bool) (Answer, error) {
	key := poolKey(r)
	shared, single, err := t.acquire(ctx, key, r, p, fresh)
	switch {
	case err != nil:
		return Answer{}, err
	case shared != nil:
		answer, err := shared.post(ctx, r, p)
		t.pool.release(key, shared, errors.Is(err, errSilent))
		if errors.Is(err, errHTTP1Wanted) {
			t.pool.forgoHTTP2(key)
		}
		return answer, err
	}
	used := single.used()
	answer, reusable, err := single.post(ctx, r, p)
	switch {
	case reusable:
		t.pool.put(key, single)
	case used && err != nil && isHTTP1Closed(err) && p.snapshot().Timings.FirstByte == 0:
		t.pool.closedIdle(key, single)
	}
	return answer, err
}

// acquire returns a connection: one over HTTP/2 with a slot, or one over HTTP/1.1.
func (t *Transport) acquire(ctx context.Context, key string, r *Request, p *progress, fresh bool) (shared *http2Conn, single *http1Conn, err error) {
	secure := r.URL.Scheme == "https"
	for mayShare := secure && !fresh; ; mayShare = false {
		if !fresh {
			if secure {
				if shared := t.pool.reserve(key); shared != nil {
					return shared, nil, nil
				}
			}
			if single := t.pool.takeHTTP1(key); single != nil {
				return nil, single, nil
			}
		}
		overHTTP1, wait := t.pool.beginDial(key, mayShare)
		if wait == nil {
			return t.open(ctx, key, r, p, overHTTP1)
		}
		timer := time.NewTimer(shareTime)
		select {
		case <-wait:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// open makes a connection.
func (t *Transport) open(ctx context.Context, key string, r *Request, p *progress, overHTTP1 bool) (shared *http2Conn, single *http1Conn, err error) {
	protocol := ""
	defer func() { t.pool.endDial(key, protocol) }()
	c, err := t.connect(ctx, r, p, overHTTP1)
	if err != nil {
		return nil, nil, err
	}
	if !c.http2 {
		protocol = protocolHTTP1
		return nil, newHTTP1Conn(c), nil
	}
	shared, err = t.newHTTP2Conn(ctx, c)
	if err == nil {
		err = shared.begin()
	}
	if err != nil {
		return nil, nil, err
	}
	protocol = protocolHTTP2
	t.pool.add(key, shared)
	return shared, nil, nil
}
