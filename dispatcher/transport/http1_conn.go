// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	readBufferBytes = 4 << 10
	// inlineBytes is how large a body may be to be written before the answer is
	// waited for: the kernel takes so much without a reader. A larger one is written
	// beside, so that an answer that comes early is read.
	inlineBytes = 12 << 10
	// earlyAnswerTime is how long the end of a request is waited for whose answer is
	// there already and is no success.
	earlyAnswerTime = 50 * time.Millisecond
)

// errUnreached says that the endpoint had closed the connection before the request
// could arrive.
var errUnreached = errors.New("the connection was closed before the request arrived")

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0) //nolint:gochecknoglobals // never changed

// http1Conn is a connection that speaks HTTP/1.1, for one request at a time.
type http1Conn struct {
	socket   *socket
	conn     net.Conn // the socket, or TLS on it
	reader   *bufio.Reader
	remote   netip.Addr
	notAfter time.Time // of the endpoint's certificate

	answers int // that it has brought
	// Of a connection that was used before:
	idleSince time.Time
	idle      time.Duration // how long it was, when it was taken
	announced time.Duration // for how long the endpoint keeps it; 0: it does not say
}

func newHTTP1Conn(c *connection) *http1Conn {
	return &http1Conn{
		socket: c.socket, conn: c.conn, reader: bufio.NewReaderSize(c.conn, readBufferBytes),
		remote: connectionRemote(c.socket), notAfter: c.notAfter,
	}
}

// headBuffers are what requests are written into.
var headBuffers = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a pool

// post sends a request and reads the answer. reusable says that the connection may
// be used again; else it is closed.
func (c *http1Conn) post(ctx context.Context, r *Request, p *progress) (answer Answer, reusable bool, err error) {
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(longAgo) })
	began := c.socket.written.Load()
	p.use(c.remote, false)
	sending := c.send(r, p)
	defer func() {
		if !stop() || !reusable {
			reusable = false
			_ = c.socket.Close() // without a word of TLS: that could wait for the endpoint
		}
		_ = sending.wait() // nothing uses the body any more
	}()
	heads := http1HeadReader{r: c.reader, left: maxHeadBytes}
	var head *http1Head
	// The first error decides: the kernel tells of a reset once, and then of the end.
	if _, err = c.reader.Peek(1); err == nil {
		p.end(StageAnswer)
		head, err = heads.read()
	}
	switch {
	case err == nil && !(head.answer.StatusCode == http.StatusRequestTimeout && c.isStale(head, began)):
	case err == nil, !heads.any && c.used() && isHTTP1End(err) && c.socket.arrived() <= began:
		return Answer{}, false, errUnreached
	default:
		_ = c.socket.Close()
		if sendErr := sending.wait(); !errors.Is(sendErr, net.ErrClosed) {
			err = errors.Join(err, sendErr)
		}
		return Answer{}, false, err
	}
	until := time.Now().Add(maxDrainTime)
	answer = head.answer
	answer.CertificateNotAfter = c.notAfter
	excerpt, whole := c.readBody(ctx, head, until)
	answer.Excerpt = excerpt
	whole = sending.end(ctx, answer.StatusCode, until) && whole
	c.answers++
	c.announced = head.idle
	return answer, whole && head.keepAlive && c.reader.Buffered() == 0, nil
}

// used reports whether a request was sent before this one.
func (c *http1Conn) used() bool { return c.answers > 0 }

// isStale reports whether an answer is not to this request: some endpoints close
// an idle connection with a 408 (RFC 9110, section 15.5.9).
func (c *http1Conn) isStale(head *http1Head, began int64) bool {
	return c.used() && !head.keepAlive && c.socket.arrived() <= began
}

// isHTTP1Closed reports whether an error says that the connection has ended.
func isHTTP1Closed(err error) bool {
	return isHTTP1End(err) || errors.Is(err, errUnreached) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// close ends a connection that nothing is under way on.
func (c *http1Conn) close() {
	if c.conn == net.Conn(c.socket) {
		_ = c.socket.Close()
		return
	}
	go func() { _ = c.conn.Close() }() // TLS says good-bye, which may take a while
}

// isHTTP1End reports whether the peer has ended its side of a connection in order.
func isHTTP1End(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// readBody reads a body, but no longer than until then.
func (c *http1Conn) readBody(ctx context.Context, head *http1Head, until time.Time) (excerpt []byte, whole bool) {
	if head.framing == framingNone || head.framing == framingLength && int64(c.reader.Buffered()) >= head.length {
		return head.readBody(c.reader)
	}
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	_ = c.conn.SetReadDeadline(until)
	excerpt, whole = head.readBody(c.reader)
	_ = c.conn.SetReadDeadline(time.Time{})
	return excerpt, whole
}

// http1Sending is a request on its way.
type http1Sending struct {
	done chan struct{} // closed when it has ended
	err  error
}

var ended = func() chan struct{} { c := make(chan struct{}); close(c); return c }() //nolint:gochecknoglobals // never changed

// send writes the request: a small one at once, a large one beside.
func (c *http1Conn) send(r *Request, p *progress) *http1Sending {
	buffer, ok := headBuffers.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	*buffer = appendHTTP1Head((*buffer)[:0], r)
	if len(r.Body) <= inlineBytes {
		*buffer = append(*buffer, r.Body...)
		s := &http1Sending{done: ended}
		if _, s.err = c.conn.Write(*buffer); s.err == nil {
			p.enter(StageAnswer)
		}
		headBuffers.Put(buffer)
		return s
	}
	s := &http1Sending{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if _, s.err = c.conn.Write(*buffer); s.err == nil {
			_, s.err = c.conn.Write(r.Body)
		}
		if s.err == nil {
			p.enter(StageAnswer)
		}
		headBuffers.Put(buffer)
	}()
	return s
}

// wait returns how it ended. It waits for the endpoint unless the connection is
// closed.
func (s *http1Sending) wait() error {
	<-s.done
	return s.err
}

// end reports whether the whole request was sent. An answer that comes before is
// an answer. A 2xx one may come from an endpoint that still reads, and that would
// take the end of the connection for the end of the request.
func (s *http1Sending) end(ctx context.Context, status int, until time.Time) bool {
	select {
	case <-s.done:
		return s.err == nil
	default:
	}
	patience := earlyAnswerTime
	if status < http.StatusMultipleChoices {
		patience = time.Until(until)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.done:
		return s.err == nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
