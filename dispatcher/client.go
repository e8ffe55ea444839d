// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"
)

var (
	// ErrLost says that the request may have reached the dispatcher and that no
	// result came back: the endpoint may or may not have got the delivery.
	ErrLost = errors.New("dispatcher lost while it held the attempt")
	// ErrUnavailable says that nothing was handed over: no attempt was made.
	ErrUnavailable = errors.New("dispatcher unavailable")
)

// URLError says why a URL cannot be the endpoint of a webhook.
type URLError struct {
	// Reason is ReasonAddressForbidden, ReasonSchemeForbidden or ReasonURLInvalid.
	Reason Reason
	// Message names what is wrong and the way out; it does not repeat the URL.
	Message string
}

// Error implements error.
func (e *URLError) Error() string { return e.Message }

const (
	// answerMargin is what a result may take beyond the attempt's own timeout.
	answerMargin = 5 * time.Second
	// callTimeout bounds calls that send nothing to the network.
	callTimeout = 5 * time.Second
	// The idle timeout is shorter on the client's side, so that the server does not
	// close a connection that the client is about to use.
	clientIdleTimeout = 60 * time.Second
	serverIdleTimeout = 120 * time.Second
)

// Client hands attempts to the dispatcher behind one unix socket. It is safe
// for concurrent use.
type Client struct {
	transport *http.Transport
	attempt   *url.URL
	checkURL  *url.URL
	ready     *url.URL
}

// NewClient returns a client of the dispatcher that listens on the unix socket
// at this path. It does not connect yet.
func NewClient(socket string) *Client {
	dialer := &net.Dialer{Timeout: callTimeout}
	endpoint := func(path string) *url.URL { return &url.URL{Scheme: "http", Host: "dispatcher", Path: path} }
	return &Client{
		transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, "unix", socket)
				if err != nil {
					return nil, &dialError{err}
				}
				return conn, nil
			},
			DisableCompression:  true,
			MaxIdleConnsPerHost: 1024, // attempts in flight are bounded by who calls
			IdleConnTimeout:     clientIdleTimeout,
		},
		attempt:  endpoint(pathAttempt),
		checkURL: endpoint(pathCheckURL),
		ready:    endpoint(pathReady),
	}
}

// Close closes connections that are idle. The client stays usable.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Send makes one attempt and waits for its result, at most 5 s longer than the
// attempt's timeout. An attempt that the endpoint did not take is a Result, not
// an error. An error wraps ErrUnavailable if no attempt was made, else ErrLost.
// When ctx ends, Send returns, but an attempt handed over is still made.
//
// A request that the dispatcher would never take, as one that is too large, is
// a Result too: as an error it would be tried for ever.
func (c *Client) Send(ctx context.Context, request Request) (Result, error) {
	if err := validate(&request); err != nil {
		return notSent(err), nil
	}
	head, err := frameHead(&request)
	if err != nil {
		return notSent(err), nil
	}
	ctx, cancel := context.WithTimeout(ctx, request.Timeout+answerMargin)
	defer cancel()

	var result Result
	err = c.call(ctx, c.attempt, head, request.Payload, &result)
	if errors.Is(err, errFrame) {
		return notSent(err), nil
	}
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

// notSent is the result of a request that cannot be an attempt.
func notSent(err error) Result {
	result := Result{StartedAt: time.Now()}
	result.fail(invalidRequest(err))
	return result
}

// CheckURL asks whether the dispatcher would use this URL as an endpoint, as
// far as that can be said without a name lookup. It returns nil, a *URLError,
// or an error that wraps ErrUnavailable.
func (c *Client) CheckURL(ctx context.Context, url string, forbidden []netip.Prefix) error {
	question, err := json.Marshal(urlQuestion{URL: url, Forbidden: forbidden})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()

	var answer urlAnswer
	if err := c.call(ctx, c.checkURL, question, nil, &answer); err != nil {
		return unavailable(err)
	}
	if answer.Reason != ReasonNone {
		return &URLError{Reason: answer.Reason, Message: answer.Message}
	}
	return nil
}

// Ready returns nil if the dispatcher takes attempts, else an error that wraps
// ErrUnavailable.
func (c *Client) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.call(ctx, c.ready, nil, nil, &struct{}{}); err != nil {
		return unavailable(err)
	}
	return nil
}

// unavailable is for calls that make no attempt: there is nothing to lose.
func unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %v", ErrUnavailable, err) //nolint:errorlint // it may wrap ErrLost, which it is not
}

// call posts head and payload and decodes the answer. Its errors wrap
// ErrUnavailable or ErrLost, or are errFrame if the dispatcher cannot read it.
func (c *Client) call(ctx context.Context, to *url.URL, head, payload []byte, answer any) error {
	body := newFrameBody(head, payload)
	httpRequest := (&http.Request{
		Method: http.MethodPost, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"User-Agent": nil},
		Body:          body,
		ContentLength: int64(len(head) + len(payload)),
		// For a POST over HTTP/1.1 the transport asks for the body again only if
		// it wrote nothing, as when the dispatcher closed an idle connection.
		GetBody: func() (io.ReadCloser, error) { return newFrameBody(head, payload), nil },
	}).WithContext(ctx)

	response, err := c.transport.RoundTrip(httpRequest)
	if err != nil {
		_, dial := errors.AsType[*dialError](err)
		if dial || !body.started.Load() {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	defer response.Body.Close() // read to its end below
	encoded, err := io.ReadAll(io.LimitReader(response.Body, maxResultBytes))
	if response.StatusCode == http.StatusBadRequest {
		return errFrame
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: it answered %d", ErrUnavailable, response.StatusCode)
	}
	if err == nil {
		err = json.Unmarshal(encoded, answer)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return nil
}

// dialError marks that there was no connection at all.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// frameBody reads head and payload in turn. The transport reads it only once it
// has a connection, so before that nothing can have been handed over.
type frameBody struct {
	started atomic.Bool
	head    bytes.Reader
	payload bytes.Reader
}

func newFrameBody(head, payload []byte) *frameBody {
	body := &frameBody{}
	body.head.Reset(head)
	body.payload.Reset(payload)
	return body
}

// Read implements io.Reader.
func (b *frameBody) Read(p []byte) (int, error) {
	b.started.Store(true)
	if b.head.Len() > 0 {
		n, _ := b.head.Read(p)
		if n < len(p) && b.payload.Len() > 0 {
			m, _ := b.payload.Read(p[n:])
			n += m
		}
		return n, nil
	}
	return b.payload.Read(p)
}

// Close implements io.Closer.
func (b *frameBody) Close() error { return nil }
