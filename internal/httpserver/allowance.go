// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"net/http"
	"sync"
	"time"
)

const (
	// allowanceRate and allowanceBurst are what a connection over HTTP/2 may send a
	// second, and at once, beside requests: pings, settings, priorities, resets. Each
	// frame costs more to handle than to send.
	allowanceRate  = 16 << 10
	allowanceBurst = 64 << 10
	// requestAllowance is what a request brings beside its header, as frames about it,
	// readAllowance what each part of a body brings, and headerAllowance the most that
	// its header brings: on the way it can be far smaller.
	requestAllowance = 256
	readAllowance    = 64
	headerAllowance  = 4 << 10
	// answerAllowance: for so many bytes of an answer one that says that they came.
	answerAllowance = 64
)

// allowance slows down a connection over HTTP/2 that sends what belongs to no request.
// What requests are made of is given back as handlers begin and read.
type allowance struct {
	now func() time.Time

	mu     sync.Mutex
	bytes  float64
	filled time.Time
	more   chan struct{} // has one when bytes were given back
	closed chan struct{}
	once   sync.Once
}

func newAllowance(now func() time.Time) *allowance {
	return &allowance{now: now, bytes: allowanceBurst, filled: now(), more: make(chan struct{}, 1), closed: make(chan struct{})}
}

// spend takes what has been read, and waits until it is paid or the connection ends.
func (a *allowance) spend(bytes int) {
	if a == nil {
		return
	}
	for {
		missing := a.take(float64(bytes))
		if missing <= 0 {
			return
		}
		bytes = 0
		timer := time.NewTimer(time.Duration(missing / allowanceRate * float64(time.Second)))
		select {
		case <-timer.C:
		case <-a.more:
		case <-a.closed:
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// take returns how much is owed then.
func (a *allowance) take(bytes float64) (missing float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	a.bytes = min(allowanceBurst, a.bytes+allowanceRate*now.Sub(a.filled).Seconds()) - bytes
	a.filled = now
	return -a.bytes
}

// give gives bytes back that belong to a request.
func (a *allowance) give(bytes int) {
	if a == nil {
		return
	}
	a.take(-float64(bytes))
	select {
	case a.more <- struct{}{}:
	default:
	}
}

func (a *allowance) close() {
	if a != nil {
		a.once.Do(func() { close(a.closed) })
	}
}

// headerBytes is what the header of a request brings.
func headerBytes(request *http.Request) int {
	bytes := len(request.Host) + len(request.RequestURI)
	for name, values := range request.Header {
		for _, value := range values {
			bytes += len(name) + len(value)
		}
	}
	return requestAllowance + min(bytes, headerAllowance)
}
