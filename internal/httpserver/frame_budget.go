// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"crypto/tls"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// frameRate and frameBurst are what a connection over HTTP/2 may send a
	// second, and at once, beside requests: pings, settings, priorities, resets. Each
	// frame costs more to handle than to send.
	frameRate  = 16 << 10
	frameBurst = 64 << 10
	// requestFrames is what a request refunds beside its header, readFrames what each
	// part of a body refunds, and maxHeaderFrames bounds what its header refunds: on
	// the way it can be far smaller.
	requestFrames   = 256
	readFrames      = 64
	maxHeaderFrames = 4 << 10
	// answerBytesPerFrame: for so many bytes of an answer one of an acknowledgement.
	answerBytesPerFrame = 64
)

// frameBudget slows down a connection over HTTP/2 whose frames belong to no request.
// The frames of requests are refunded as handlers begin and read.
type frameBudget struct {
	now func() time.Time

	mu      sync.Mutex
	bytes   float64
	filled  time.Time
	refunds chan struct{} // has one when bytes were given back
	closed  chan struct{}
	once    sync.Once
}

func newFrameBudget(now func() time.Time) *frameBudget {
	return &frameBudget{now: now, bytes: frameBurst, filled: now(), refunds: make(chan struct{}, 1), closed: make(chan struct{})}
}

// spend charges bytes that were read, and waits until the budget has them or the connection ends.
func (b *frameBudget) spend(bytes int) {
	if b == nil {
		return
	}
	for {
		missing := b.take(float64(bytes))
		if missing <= 0 {
			return
		}
		bytes = 0
		timer := time.NewTimer(time.Duration(missing / frameRate * float64(time.Second)))
		select {
		case <-timer.C:
		case <-b.refunds:
		case <-b.closed:
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// take returns how much is missing then.
func (b *frameBudget) take(bytes float64) (missing float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.bytes = min(frameBurst, b.bytes+frameRate*now.Sub(b.filled).Seconds()) - bytes
	b.filled = now
	return -b.bytes
}

// refund returns bytes that belong to a request.
func (b *frameBudget) refund(bytes int) {
	if b == nil {
		return
	}
	b.take(-float64(bytes))
	select {
	case b.refunds <- struct{}{}:
	default:
	}
}

func (b *frameBudget) close() {
	if b != nil {
		b.once.Do(func() { close(b.closed) })
	}
}

// headerFrameBytes is what the header of a request brings.
func headerFrameBytes(request *http.Request) int {
	bytes := len(request.Host) + len(request.RequestURI)
	for name, values := range request.Header {
		for _, value := range values {
			bytes += len(name) + len(value)
		}
	}
	return requestFrames + min(bytes, maxHeaderFrames)
}

// frameBudgetConfig bounds what a connection over HTTP/2 sends beside requests.
func frameBudgetConfig(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if tracked, ok := hello.Conn.(*trackedConnection); ok && slices.Contains(hello.SupportedProtos, protocolHTTP2) { // then it is spoken
		tracked.frameBudget.Store(newFrameBudget(time.Now))
	}
	return nil, nil //nolint:nilnil // the configuration as it is
}
