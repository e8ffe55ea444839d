// SPDX-License-Identifier: Apache-2.0

package multiplex

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ErrCutOff says that calls were still being answered at the end of the grace
// period.
var ErrCutOff = errors.New("calls were still under way at the end of the grace period")

// maxIdle is how many goroutines wait for the next request. One that has made a
// call before has the stack for it; that of a new one has to grow step by step.
const maxIdle = 64

// Handler appends the answer to a request to answer and returns it. The body of
// the request is its own to keep. An error, whatever it is, says that it could
// not read the request and did nothing.
type Handler func(method byte, body, answer []byte) ([]byte, error)

// CallServer answers calls.
type CallServer struct {
	// Handler is called for each request, for many at once.
	Handler Handler
	// MaxRequest is how many bytes the body of a request may have. A connection
	// on which a longer one comes is closed.
	MaxRequest int
	// MaxCalls is how many calls may be under way, over all connections. More
	// are not taken, rather than made to wait where their callers cannot see it.
	MaxCalls int
	// MaxBytes is how many bytes the bodies of requests under way may have together,
	// those of up to 16 KiB not counted; 0 for no bound. One that has no room is read
	// past, costs no memory, and waits with its client.
	MaxBytes int64
	// OnFull is called for each request that has no room; may be nil.
	OnFull func()
	// Logger gets what is wrong with connections.
	Logger *slog.Logger

	frames framePool
	calls  chan serverCall // unbuffered: for a goroutine that waits
	ended  chan struct{}   // closed with ServeCalls
	idle   atomic.Int32

	mu       sync.Mutex
	conns    map[*serverConn]struct{}
	inFlight int
	budget   byteBudget
	draining bool
	drained  chan struct{} // closed when draining and nothing is under way
}

// ServeCalls answers calls until ctx ends. Then it takes no more, and hands over the
// answers to those it took. If that takes longer than grace it closes the
// connections, so that those calls are lost, and returns ErrCutOff. It can be
// called once.
func (s *CallServer) ServeCalls(ctx context.Context, listener net.Listener, grace time.Duration) error {
	s.conns, s.drained = map[*serverConn]struct{}{}, make(chan struct{})
	s.calls, s.ended = make(chan serverCall), make(chan struct{})
	s.budget = byteBudget{limit: s.MaxBytes}
	defer close(s.ended)
	failed := make(chan error, 1)
	go func() { failed <- s.acceptClients(listener) }()
	var err error
	select {
	case err = <-failed:
		s.drainCalls()
	case <-ctx.Done():
		s.drainCalls() // first, so that a listener that is gone means not taken
		_ = listener.Close()
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-s.drained:
		s.sayBye(timer.C)
		return err
	case <-timer.C:
		s.closeConnections()
		return errors.Join(err, ErrCutOff)
	}
}

func (s *CallServer) acceptClients(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		c := &serverConn{net: conn, out: newOutbox(&s.frames), written: make(chan struct{})}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		go s.writeAnswers(c)
		go s.readCalls(c)
	}
}

// serverConn is one connection.
type serverConn struct {
	net     net.Conn
	out     *outbox
	written chan struct{} // closed when nothing is written any more
}

// writeAnswers ends with the connection, or after the last frame of a drain.
func (s *CallServer) writeAnswers(c *serverConn) {
	defer close(c.written)
	_ = c.out.run(c.net) // the client is gone, and with it those who wait
	_ = c.net.Close()
}

// readCalls takes calls until the connection ends. Those under way go on: what they
// began should end whole.
func (s *CallServer) readCalls(c *serverConn) {
	r := bufio.NewReaderSize(c.net, bufferBytes)
	for {
		call, taken, err := s.takeCall(c, r)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.Logger.Warn("connection ended", "cause", err)
			}
			break
		}
		if !taken {
			continue
		}
		select {
		case s.calls <- call:
		default:
			go s.workCall(call)
		}
	}
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.out.close()
	_ = c.net.Close()
}

// takeCall reads the next request, if the server takes it: what it does not take it
// reads past, and says so.
func (s *CallServer) takeCall(c *serverConn, r *bufio.Reader) (call serverCall, ok bool, err error) {
	head, length, err := readFrameHeader(r, s.MaxRequest)
	if err != nil {
		return serverCall{}, false, err
	}
	if refused := s.beginCall(length); refused != 0 {
		if _, err := r.Discard(length); err != nil {
			return serverCall{}, false, io.ErrUnexpectedEOF
		}
		s.replyCall(c, head.call, refused)
		return serverCall{}, false, nil
	}
	body, err := readFrameBody(r, length)
	if err != nil {
		s.endCall(length)
		return serverCall{}, false, err
	}
	return serverCall{conn: c, head: head, body: body}, true, nil
}

// serverCall is a call that is being answered.
type serverCall struct {
	conn *serverConn
	head frameHeader
	body []byte
}

// workCall answers a call, and then others, until enough goroutines wait for them.
func (s *CallServer) workCall(call serverCall) {
	for {
		s.answerCall(call)
		if s.idle.Add(1) > maxIdle {
			s.idle.Add(-1)
			return
		}
		select {
		case call = <-s.calls:
			s.idle.Add(-1)
		case <-s.ended:
			return
		}
	}
}

func (s *CallServer) answerCall(call serverCall) {
	defer s.endCall(len(call.body))
	made := s.frames.get(call.head.call, kindAnswer)
	filled, err := s.Handler(call.head.kind, call.body, made.bytes)
	if err != nil {
		s.frames.put(made)
		s.replyCall(call.conn, call.head.call, kindMalformed)
		return
	}
	made.bytes = filled
	made.seal()
	call.conn.out.put(made)
}

func (s *CallServer) replyCall(c *serverConn, call uint32, kind byte) {
	made := s.frames.get(call, kind)
	if kind == kindFull {
		made.bytes = appendByteBudget(made.bytes, s.MaxBytes)
	}
	made.seal()
	c.out.put(made)
}

// beginCall takes a call, unless there are too many, or they hold too much, or none is
// taken any more: then it returns the kind of the reply.
func (s *CallServer) beginCall(size int) (refused byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining || s.inFlight >= s.MaxCalls:
		return kindNotTaken
	case !s.budget.acquire(size):
		if s.OnFull != nil {
			s.OnFull()
		}
		return kindFull
	}
	s.inFlight++
	return 0
}

// endCall is called when the answer is in the outbox.
func (s *CallServer) endCall(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	s.budget.release(size)
	if s.draining && s.inFlight == 0 {
		close(s.drained)
	}
}

// drainCalls takes no more calls.
func (s *CallServer) drainCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	if s.inFlight == 0 {
		close(s.drained)
	}
}

// sayBye ends each connection behind the last answer on it, within the time.
func (s *CallServer) sayBye(timeout <-chan time.Time) {
	s.mu.Lock()
	var open []*serverConn
	for c := range s.conns {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		s.replyCall(c, 0, kindBye)
		c.out.close()
	}
	for _, c := range open {
		select {
		case <-c.written:
		case <-timeout:
			s.closeConnections()
			return
		}
	}
}

func (s *CallServer) closeConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.net.Close()
	}
}
