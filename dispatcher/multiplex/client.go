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
	waiters   sync.Pool

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
// context's error. A timeout may be noticed sweepEvery later.
func (c *Client) Call(ctx context.Context, timeout time.Duration, method byte, head, payload []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotTaken, err)
	}
	w, ok := c.waiters.Get().(*waiter)
	if !ok {
		w = newWaiter()
	}
	conn, id := c.start(timeout, method, head, payload, w.settle)
	select {
	case <-w.settled:
	case <-ctx.Done():
		if conn.forget(id) {
			return nil, conn.gaveUp(id, ctx.Err())
		}
		<-w.settled
	}
	body, err := w.body, w.err
	w.body, w.err = nil, nil
	c.waiters.Put(w) // nothing else knows it any more
	return body, err
}

// Start sends a request as Call does and does not wait: done gets what Call would
// return, once, mostly from a goroutine that all calls of the connection share,
// and must not wait for anything. It may be called before Start returns.
func (c *Client) Start(timeout time.Duration, method byte, head, payload []byte, done func(body []byte, err error)) {
	c.start(timeout, method, head, payload, done)
}

// start returns a nil connection where it could not even open one.
func (c *Client) start(timeout time.Duration, method byte, head, payload []byte, done func([]byte, error)) (*clientConn, uint32) {
	conn, id, err := c.begin(call{deadline: time.Now().Add(timeout), done: done})
	if err != nil {
		done(nil, fmt.Errorf("%w: %w", ErrNotTaken, err))
		return nil, 0
	}
	request := c.frames.get(id, method)
	request.bytes = append(append(request.bytes, head...), payload...)
	request.seal()
	conn.out.put(request)
	return conn, id
}

// waiter is a goroutine that waits for the end of its call.
type waiter struct {
	settled chan struct{} // holds one
	settle  func(body []byte, err error)
	body    []byte
	err     error
}

func newWaiter() *waiter {
	w := &waiter{settled: make(chan struct{}, 1)}
	w.settle = func(body []byte, err error) {
		w.body, w.err = body, err
		w.settled <- struct{}{}
	}
	return w
}

// call is one that has no answer yet.
type call struct {
	deadline time.Time
	done     func(body []byte, err error)
}

// begin numbers a call on a connection that is not known to be broken.
func (c *Client) begin(made call) (*clientConn, uint32, error) {
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
	c.conn = &clientConn{net: opened, out: newOutbox(&c.frames), pending: map[uint32]call{}}
	id, _ := c.conn.begin(made)
	go c.conn.write()
	go c.conn.read(c.maxAnswer)
	return c.conn, id, nil
}

// sweepEvery is how often a connection looks for calls beyond their deadline: a
// timer for each of thousands would cost more than the rest of the call.
const sweepEvery = 100 * time.Millisecond

// clientConn is one connection and the calls on it.
type clientConn struct {
	net net.Conn
	out *outbox

	mu       sync.Mutex
	last     uint32
	pending  map[uint32]call // nil once broken
	sweeping bool            // while calls are pending
}

func (c *clientConn) begin(made call) (id uint32, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		return 0, false
	}
	c.last++ // four billion calls later the number is free again
	c.pending[c.last] = made
	if !c.sweeping {
		c.sweeping = true
		time.AfterFunc(sweepEvery, c.sweep)
	}
	return c.last, true
}

// sweep ends calls that are beyond their deadline.
func (c *clientConn) sweep() {
	now, expired := time.Now(), map[uint32]call{}
	c.mu.Lock()
	for id, made := range c.pending {
		if now.After(made.deadline) {
			expired[id] = made
			delete(c.pending, id)
		}
	}
	if c.sweeping = len(c.pending) > 0; c.sweeping {
		time.AfterFunc(sweepEvery, c.sweep)
	}
	c.mu.Unlock()
	for id, made := range expired {
		made.done(nil, c.gaveUp(id, context.DeadlineExceeded))
	}
}

// forget drops a call; false: it has an outcome already.
func (c *clientConn) forget(id uint32) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, waits := c.pending[id]
	delete(c.pending, id)
	return waits
}

// gaveUp says what is known of a call that was forgotten.
func (c *clientConn) gaveUp(id uint32, why error) error {
	if c.out.withdraw(id) {
		return fmt.Errorf("%w: %w", ErrNotTaken, why)
	}
	return fmt.Errorf("%w: %w", ErrLost, why)
}

// settle hands an outcome to a call that still waits.
func (c *clientConn) settle(id uint32, body []byte, err error) {
	c.mu.Lock()
	made, waits := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if waits {
		made.done(body, err)
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
			c.settle(head.call, body, nil)
			continue
		case kindMalformed:
			c.settle(head.call, nil, ErrMalformed)
			continue
		case kindNotTaken:
			c.settle(head.call, nil, fmt.Errorf("%w: %w", ErrNotTaken, errBusy))
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
			made.done(nil, fmt.Errorf("%w: %w", ErrNotTaken, errClosed))
		} else {
			made.done(nil, end)
		}
	}
	c.out.close()
	_ = c.net.Close()
}
