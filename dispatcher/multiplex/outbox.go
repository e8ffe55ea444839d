// SPDX-License-Identifier: Apache-2.0

package multiplex

import (
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
)

// outbox writes frames to a connection in the order they came, all that wait
// with one system call: of what a call costs, most is entering the kernel.
//
// Callers never write themselves. They would hang with a peer that has stopped
// reading, whatever their own deadline.
type outbox struct {
	frames *framePool
	wake   chan struct{} // holds one if there may be something to do

	mu      sync.Mutex
	waiting []*frame
	closed  bool
}

func newOutbox(pool *framePool) *outbox {
	return &outbox{frames: pool, wake: make(chan struct{}, 1)}
}

// put takes a frame to be written. After close it is dropped.
func (o *outbox) put(f *frame) {
	o.mu.Lock()
	if !o.closed {
		o.waiting = append(o.waiting, f)
	}
	o.mu.Unlock()
	o.signal()
}

// withdraw takes the frame of a call back. It returns false if that is not
// waiting: some of it may have been written.
func (o *outbox) withdraw(call uint32) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := slices.IndexFunc(o.waiting, func(f *frame) bool { return f.call == call })
	if at < 0 {
		return false
	}
	o.waiting = slices.Delete(o.waiting, at, at+1)
	return true
}

// close ends run as soon as what waits is written.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take moves what waits into batch, which is empty.
func (o *outbox) take(batch []*frame) (taken []*frame, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	taken, o.waiting = o.waiting, batch
	return taken, o.closed
}

// run writes until close, or until the connection fails.
func (o *outbox) run(w io.Writer) error {
	var batch []*frame
	var vector net.Buffers
	for range o.wake {
		// Let those that are about to put frames in do so: one write for all.
		runtime.Gosched()
		for {
			var closed bool
			if batch, closed = o.take(batch[:0]); len(batch) == 0 {
				if closed {
					return nil
				}
				break
			}
			if err := o.write(w, batch, &vector); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *outbox) write(w io.Writer, batch []*frame, vector *net.Buffers) error {
	var err error
	if len(batch) == 1 {
		_, err = w.Write(batch[0].bytes)
	} else {
		parts := (*vector)[:0]
		for _, f := range batch {
			parts = append(parts, f.bytes)
		}
		*vector = parts
		_, err = parts.WriteTo(w)
	}
	if err != nil {
		return err
	}
	for _, f := range batch {
		o.frames.put(f)
	}
	clear(batch)
	return nil
}
