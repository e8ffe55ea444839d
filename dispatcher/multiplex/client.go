// SPDX-License-Identifier: Apache-2.0

package multiplex

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
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

// CallClient makes calls over one connection, which it opens when it needs one. It
// is safe for concurrent use.
type CallClient struct {
	dial      func() (net.Conn, error)
	maxAnswer int
	frames    framePool
	waiters   sync.Pool

	mu   sync.Mutex
	conn *clientConn
}

// NewCallClient returns a Client that opens connections with dial, which must not
// block, and takes answers of up to maxAnswer bytes.
func NewCallClient(dial func() (net.Conn, error), maxAnswer int) *CallClient {
	return &CallClient{dial: dial, maxAnswer: maxAnswer}
}

// Close closes the connection. Calls under way are lost; the client stays usable.
func (c *CallClient) Close() {
	c.mu.Lock()
	conn := c.conn
	c.conn = nil
	c.mu.Unlock()
	if conn != nil {
		_ = conn.net.Close()
	}
}

// Call sends a request, whose body is head and then payload, and returns the
// body of the answer. Both may change once it has returned. One that the server has
// no room for waits, at most 3 s beyond the timeout. Its errors wrap
// ErrNotTaken, ErrLost or ErrMalformed; at the end of ctx or timeout also the
// context's error. A timeout may be noticed expiryInterval later.
func (c *CallClient) Call(ctx context.Context, timeout time.Duration, method byte, head, payload []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotTaken, err)
	}
	w, ok := c.waiters.Get().(*callWaiter)
	if !ok {
		w = newCallWaiter()
	}
	conn, id := c.startCall(timeout, method, head, payload, w.settle)
	select {
	case <-w.settled:
	case <-ctx.Done():
		if waited, state := conn.forget(id); waited {
			return nil, fmt.Errorf("%w: %w", state, ctx.Err())
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
// and must not wait for anything. It may be called before Start returns. The payload
// must not change until then.
func (c *CallClient) Start(timeout time.Duration, method byte, head, payload []byte, done func(body []byte, err error)) {
	c.startCall(timeout, method, head, payload, done)
}

// startCall returns a nil connection where it could not even open one.
func (c *CallClient) startCall(timeout time.Duration, method byte, head, payload []byte, done func([]byte, error)) (*clientConn, uint32) {
	made := call{timeout: timeout, done: done}
	if len(head)+len(payload) > uncountedBytes {
		made.request = &queuedRequest{method: method, head: slices.Clone(head), payload: payload}
	}
	conn, id, queued, err := c.beginCall(made)
	if err != nil {
		done(nil, fmt.Errorf("%w: %w", ErrNotTaken, err))
		return nil, 0
	}
	if !queued {
		conn.send(id, method, head, payload)
	}
	return conn, id
}

// callWaiter is a goroutine that waits for the end of its call.
type callWaiter struct {
	settled chan struct{} // holds one
	settle  func(body []byte, err error)
	body    []byte
	err     error
}

func newCallWaiter() *callWaiter {
	w := &callWaiter{settled: make(chan struct{}, 1)}
	w.settle = func(body []byte, err error) {
		w.body, w.err = body, err
		w.settled <- struct{}{}
	}
	return w
}

// call is one that has no answer yet.
type call struct {
	timeout  time.Duration  // from when it is sent
	deadline time.Time      // of its answer, or of the room that it waits for
	request  *queuedRequest // nil where it needs no room
	done     func(body []byte, err error)
}

// beginCall numbers a call on a connection that is not known to be broken.
func (c *CallClient) beginCall(made call) (conn *clientConn, id uint32, queued bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		if id, queued, ok := c.conn.begin(made); ok {
			return c.conn, id, queued, nil
		}
	}
	opened, err := c.dial()
	if err != nil {
		return nil, 0, false, err
	}
	c.conn = &clientConn{net: opened, out: newOutbox(&c.frames), pending: map[uint32]call{}}
	id, queued, _ = c.conn.begin(made)
	go c.conn.write()
	go c.conn.read(c.maxAnswer)
	return c.conn, id, queued, nil
}
