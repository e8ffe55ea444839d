// SPDX-License-Identifier: Apache-2.0

package multiplex

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

var (
	// ErrNotTaken says that the server has not seen the call and never will.
	ErrNotTaken = errors.New("not taken")
	// ErrLost says that the server may have seen the call, and no answer came.
	ErrLost = errors.New("lost")
	// ErrMalformed says that the server could not read the request.
	ErrMalformed = errors.New("malformed request")

	errClosed = errors.New("the server closed the connection")
	errBusy   = errors.New("the server takes no more calls now")
)

// Client makes calls over one connection, which it opens when it needs one. It
// is safe for concurrent use.
type Client struct {
	dial      func() (net.Conn, error)
	maxAnswer int
	frames    frames
	calls     sync.Pool

	mu   sync.Mutex
	conn *clientConn
}

// NewClient returns a Client that opens connections with dial, which must not
// block, and takes answers of up to maxAnswer bytes.
func NewClient(dial func() (net.Conn, error), maxAnswer int) *Client {
	return &Client{dial: dial, maxAnswer: maxAnswer}
}

// Close closes the connection. Calls in flight are lost; the client stays usable.
func (c *Client) Close() {
	c.mu.Lock()
	conn := c.conn
	c.conn = nil
	c.mu.Unlock()
	if conn != nil {
		_ = conn.net.Close()
	}
}

// Call sends a request, whose body is head and then payload, and returns the
// body of the answer. Both may change once it has returned. Its errors wrap
// ErrNotTaken, ErrLost or ErrMalformed; at the end of ctx or timeout also the
// context's error.
func (c *Client) Call(ctx context.Context, timeout time.Duration, method byte, head, payload []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotTaken, err)
	}
	made := c.newCall(timeout)
	conn, id, err := c.begin(made)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotTaken, err)
	}
	request := c.frames.get(id, method)
	request.bytes = append(append(request.bytes, head...), payload...)
	request.seal()
	conn.out.put(request)

	var ended error
	select {
	case got := <-made.done:
		made.timer.Stop()
		c.calls.Put(made) // nothing else knows it any more
		return got.body, got.err
	case <-ctx.Done():
		ended = ctx.Err()
	case <-made.timer.C:
		ended = context.DeadlineExceeded
	}
	made.timer.Stop()
	conn.forget(id)
	if conn.out.withdraw(id) {
		return nil, fmt.Errorf("%w: %w", ErrNotTaken, ended)
	}
	return nil, fmt.Errorf("%w: %w", ErrLost, ended)
}

// call is one that waits for its answer.
type call struct {
	done  chan outcome // holds one
	timer *time.Timer
}

type outcome struct {
	body []byte
	err  error
}

func (c *Client) newCall(timeout time.Duration) *call {
	if made, ok := c.calls.Get().(*call); ok {
		made.timer.Reset(timeout)
		return made
	}
	return &call{done: make(chan outcome, 1), timer: time.NewTimer(timeout)}
}

// begin numbers a call on a connection that is not known to be broken.
func (c *Client) begin(made *call) (*clientConn, uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		if id, ok := c.conn.begin(made); ok {
			return c.conn, id, nil
		}
	}
	opened, err := c.dial()
	if err != nil {
		return nil, 0, err
	}
	c.conn = &clientConn{net: opened, out: newOutbox(&c.frames), pending: map[uint32]*call{}}
	id, _ := c.conn.begin(made)
	go c.conn.write()
	go c.conn.read(c.maxAnswer)
	return c.conn, id, nil
}

// clientConn is one connection and the calls on it.
type clientConn struct {
	net net.Conn
	out *outbox

	mu      sync.Mutex
	last    uint32
	pending map[uint32]*call // nil once broken
}

func (c *clientConn) begin(made *call) (id uint32, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		return 0, false
	}
	c.last++ // four billion calls later the number is free again
	c.pending[c.last] = made
	return c.last, true
}

func (c *clientConn) forget(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// settle hands an outcome to a call that still waits.
func (c *clientConn) settle(id uint32, got outcome) {
	c.mu.Lock()
	made := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if made != nil {
		made.done <- got
	}
}

// write ends with the connection. Its error is of no interest: where writing
// fails the peer has gone, and read says what that means for the calls.
func (c *clientConn) write() {
	_ = c.out.run(c.net)
}

// read settles calls until the connection ends, and then those that are left.
func (c *clientConn) read(maxAnswer int) {
	r := bufio.NewReaderSize(c.net, bufferBytes)
	end := fmt.Errorf("%w: %w", ErrLost, errClosed)
	for {
		head, body, err := readFrame(r, maxAnswer)
		if err != nil {
			break
		}
		switch head.kind {
		case kindAnswer:
			c.settle(head.call, outcome{body: body})
			continue
		case kindMalformed:
			c.settle(head.call, outcome{err: ErrMalformed})
			continue
		case kindNotTaken:
			c.settle(head.call, outcome{err: fmt.Errorf("%w: %w", ErrNotTaken, errBusy)})
			continue
		case kindBye:
			end = fmt.Errorf("%w: %w", ErrNotTaken, errClosed)
		}
		break // nothing comes after bye, and what is unknown ends the trust in it
	}
	c.mu.Lock()
	left := c.pending
	c.pending = nil
	c.mu.Unlock()
	for id, made := range left {
		if c.out.withdraw(id) {
			made.done <- outcome{err: fmt.Errorf("%w: %w", ErrNotTaken, errClosed)}
		} else {
			made.done <- outcome{err: end}
		}
	}
	c.out.close()
	_ = c.net.Close()
}
