// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"time"
)

const (
	pingAfter    = 15 * time.Second // of silence on an HTTP/2 connection
	pingTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second // of an endpoint that reads nothing
	// What an endpoint may send before it is read, on a stream and on a connection.
	streamBufferBytes = 64 << 10
	connBufferBytes   = 512 << 10
)

// errNotSent says that nothing of the request was written: the connection took no
// more requests.
var errNotSent = errors.New("the connection takes no more requests")

// http2Conn is a connection that speaks HTTP/2, for many requests at a time.
type http2Conn struct {
	client   *http.ClientConn
	frames   *http2Frames
	remote   netip.Addr
	notAfter time.Time // of the endpoint's certificate

	// Guarded by the pool:
	underWay int
	idle     time.Time // since when nothing is
	retired  bool      // for the requests under way only
}

// handed is the key of the connection in the context of newHTTP2Conn.
type handed struct{}

// newHTTP2Transport makes what makes clients of connections that are there already. To
// package net/http they are such without TLS, on which it speaks HTTP/2 unasked.
func newHTTP2Transport() *http.Transport {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		Protocols: &protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if conn, ok := ctx.Value(handed{}).(net.Conn); ok {
				return conn, nil
			}
			return nil, errNotSent
		},
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeadBytes,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: writeTimeout,
			MaxReceiveBufferPerStream: streamBufferBytes, MaxReceiveBufferPerConnection: connBufferBytes,
		},
	}
}

func (t *Transport) newHTTP2Conn(ctx context.Context, c *connection) (*http2Conn, error) {
	made := &http2Conn{frames: newHTTP2Frames(c), remote: connectionRemote(c.socket), notAfter: c.notAfter}
	var err error
	if made.client, err = t.http2.NewClientConn(context.WithValue(ctx, handed{}, net.Conn(made.frames)), "http", "handed:80"); err != nil {
		_ = c.socket.Close()
		return nil, err
	}
	return made, nil
}

// begin reserves a slot for the request that the connection was made for. Without one
// it is closed: nothing else knows of it.
func (c *http2Conn) begin() error {
	err := c.client.Reserve()
	if err != nil {
		c.close()
	}
	return err
}

// http2Stream is what is known of a request that goes out.
type http2Stream struct {
	written chan struct{} // closed when it has ended, in whatever way

	mu    sync.Mutex
	id    uint32 // 0 until its head is written
	began int64
	over  bool
}

// wrote takes in that the head of the request was written, before that of another is.
func (s *http2Stream) wrote(on *http2Frames) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id, s.began = on.latest(); s.over {
		on.end(s.id)
	}
}

// end forgets the request, whose head may be written yet.
func (s *http2Stream) end(on *http2Frames) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	on.end(s.id)
}

// post sends a request and reads the answer. A slot of the connection is reserved
// for it.
func (c *http2Conn) post(ctx context.Context, r *Request, p *progress) (Answer, error) {
	p.use(c.remote, true)
	began := time.Now()
	sent := http2Stream{written: make(chan struct{})}
	defer sent.end(c.frames)
	body := &http2Payload{reader: bytes.NewReader(r.Body)}
	defer body.detach()
	request := &http.Request{
		Method: http.MethodPost, URL: r.URL, Host: r.Host, Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: r.httpHeader(), Body: body, ContentLength: int64(len(r.Body)),
	}
	response, err := c.client.RoundTrip(request.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { sent.wrote(c.frames) },
		WroteRequest: func(httptrace.WroteRequestInfo) {
			p.enter(StageAnswer)
			close(sent.written)
		},
		GotFirstResponseByte: func() { p.end(StageAnswer) },
		// No Got1xxResponse: without it their size is bounded.
	})))
	if err != nil {
		return Answer{}, c.explain(ctx, err, &sent, began)
	}
	answer := Answer{
		StatusCode: response.StatusCode, CertificateNotAfter: c.notAfter, RetryAfter: response.Header.Get("Retry-After"),
		Location: response.Header.Get("Location"), ContentEncoding: response.Header.Get("Content-Encoding"),
	}
	// What becomes of the body is of no consequence; closing it ends the stream.
	closeBody := func() { _ = response.Body.Close() }
	limit := time.AfterFunc(maxDrainTime, closeBody)
	answer.Excerpt, _, _ = drainHTTP1Body(response.Body)
	if answer.StatusCode < http.StatusMultipleChoices {
		sent.await(ctx, maxDrainTime)
	}
	limit.Stop()
	closeBody()
	return answer, nil
}

// await waits for the end of a request whose answer is there already: a 2xx one may
// come from an endpoint that still reads.
func (s *http2Stream) await(ctx context.Context, patience time.Duration) {
	select {
	case <-s.written:
		return
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.written:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// close ends a connection that nothing is under way on.
func (c *http2Conn) close() { _ = c.client.Close() }

// explain says what an error means for the request.
func (c *http2Conn) explain(ctx context.Context, err error, sent *http2Stream, began time.Time) error {
	if ctx.Err() != nil {
		if c.frames.silentSince(began) {
			return errors.Join(ctx.Err(), errSilent)
		}
		return err
	}
	sent.mu.Lock()
	defer sent.mu.Unlock()
	if sent.id == 0 {
		return errors.Join(errNotSent, err)
	}
	switch c.frames.refusal(sent.id, sent.began) {
	case refused:
		return ErrRefused
	case refusedHTTP2:
		return errHTTP1Wanted
	case notRefused:
	}
	return err
}

// http2Payload is the body of a request, which package net/http may go on reading when
// the attempt is over.
type http2Payload struct {
	mu     sync.Mutex
	reader *bytes.Reader // nil when it is
}

// Read implements io.Reader.
func (b *http2Payload) Read(into []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reader == nil {
		return 0, io.ErrClosedPipe
	}
	return b.reader.Read(into)
}

// Close implements io.Closer.
func (b *http2Payload) Close() error { return nil }

func (b *http2Payload) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reader = nil
}
