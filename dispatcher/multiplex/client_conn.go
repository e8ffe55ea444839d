// SPDX-License-Identifier: Apache-2.0

package multiplex

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// expiryInterval is how often a connection looks for calls beyond their deadline: a
// timer for each of thousands would cost more than the rest of the call.
const expiryInterval = 100 * time.Millisecond

// clientConn is one connection and the calls on it.
type clientConn struct {
	net net.Conn
	out *outbox

	mu       sync.Mutex
	last     uint32
	pending  map[uint32]call // nil once broken
	budget   byteBudget
	queue    callQueue // of pending calls that are not sent yet
	expiring bool      // while calls are pending
}

// begin numbers a call; ok is false on a connection that is broken. One that has
// no room is sent later.
func (c *clientConn) begin(made call) (id uint32, queued, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		return 0, false, false
	}
	c.last++ // four billion calls later the number is free again
	id = c.last
	queued = made.request != nil && (len(c.queue.calls) > 0 || !c.budget.acquire(made.request.size()))
	if queued {
		made.deadline = time.Now().Add(maxQueued)
		c.queue.push(id)
	} else {
		made.deadline = time.Now().Add(made.timeout)
	}
	c.pending[id] = made
	if !c.expiring {
		c.expiring = true
		time.AfterFunc(expiryInterval, c.expireCalls)
	}
	return id, queued, true
}

// send puts the request of a call where it is written.
func (c *clientConn) send(id uint32, method byte, head, payload []byte) {
	made := c.out.frames.get(id, method)
	made.bytes = append(append(made.bytes, head...), payload...)
	made.seal()
	c.out.put(made)
}

// makeWait notes that the server had no room for a call, and how much it has.
func (c *clientConn) makeWait(id uint32, limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget.limit = limit
	made, waits := c.pending[id]
	if !waits || made.request == nil {
		return
	}
	c.budget.release(made.request.size())
	made.deadline = time.Now().Add(maxQueued)
	c.pending[id] = made
	c.queue.pushFirst(id) // for the next call that ends, or the next expiry: the server may hold what this client has given up
}

// sendQueued sends what there is room for. The lock is held.
func (c *clientConn) sendQueued() {
	for len(c.queue.calls) > 0 {
		id := c.queue.calls[0]
		made := c.pending[id]
		if !c.budget.acquire(made.request.size()) {
			return
		}
		c.queue.remove(id)
		made.deadline = time.Now().Add(made.timeout)
		c.pending[id] = made
		c.send(id, made.request.method, made.request.head, made.request.payload)
	}
}

// expireCalls ends calls that are beyond their deadline.
func (c *clientConn) expireCalls() {
	now := time.Now()
	type expiry struct {
		made  call
		state error
	}
	expired := map[uint32]expiry{}
	c.mu.Lock()
	for id, made := range c.pending {
		if now.After(made.deadline) {
			expired[id] = expiry{made, c.drop(id, made)}
		}
	}
	c.sendQueued()
	if c.expiring = len(c.pending) > 0; c.expiring {
		time.AfterFunc(expiryInterval, c.expireCalls)
	}
	c.mu.Unlock()
	for _, one := range expired {
		one.made.done(nil, fmt.Errorf("%w: %w", one.state, context.DeadlineExceeded))
	}
}

// drop takes a call out and says what is known of it: ErrNotTaken or ErrLost. The
// lock is held.
func (c *clientConn) drop(id uint32, made call) error {
	delete(c.pending, id)
	if c.queue.remove(id) {
		return ErrNotTaken
	}
	c.release(made)
	if c.out.withdraw(id) {
		return ErrNotTaken
	}
	return ErrLost
}

// release gives back what a call took of the room. The lock is held.
func (c *clientConn) release(made call) {
	if made.request != nil {
		c.budget.release(made.request.size())
		c.sendQueued()
	}
}

// forget drops a call and says what is known of it; false: it has an outcome
// already.
func (c *clientConn) forget(id uint32) (waited bool, state error) {
	if c == nil {
		return false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	made, waits := c.pending[id]
	if !waits {
		return false, nil
	}
	return true, c.drop(id, made)
}

// complete hands an outcome to a call that still waits.
func (c *clientConn) complete(id uint32, body []byte, err error) {
	c.mu.Lock()
	made, waits := c.pending[id]
	if waits {
		delete(c.pending, id)
		c.release(made)
	}
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
			c.complete(head.call, body, nil)
			continue
		case kindMalformed:
			c.complete(head.call, nil, ErrMalformed)
			continue
		case kindFull:
			if most, ok := decodeByteBudget(body); ok {
				c.makeWait(head.call, most)
				continue
			}
		case kindNotTaken:
			c.complete(head.call, nil, fmt.Errorf("%w: %w", ErrNotTaken, errBusy))
			continue
		case kindBye:
			end = fmt.Errorf("%w: %w", ErrNotTaken, errClosed)
		}
		break // nothing comes after bye, and what is unknown ends the trust in it
	}
	c.mu.Lock()
	left, queue := c.pending, c.queue
	c.pending, c.queue = nil, callQueue{}
	c.mu.Unlock()
	for id, made := range left {
		if queue.remove(id) || c.out.withdraw(id) {
			made.done(nil, fmt.Errorf("%w: %w", ErrNotTaken, errClosed))
		} else {
			made.done(nil, end)
		}
	}
	c.out.close()
	_ = c.net.Close()
}
