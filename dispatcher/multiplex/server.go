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

// Server answers calls.
type Server struct {
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

	frames frames
	calls  chan taken    // unbuffered: for a goroutine that waits
	ended  chan struct{} // closed with Serve
	idle   atomic.Int32

	mu       sync.Mutex
	conns    map[*serverConn]struct{}
	inFlight int
	budget   byteBudget
	draining bool
	drained  chan struct{} // closed when draining and nothing is under way
}

// Serve answers calls until ctx ends. Then it takes no more, and hands over the
// answers to those it took. If that takes longer than grace it closes the
// connections, so that those calls are lost, and returns ErrCutOff. It can be
// called once.
func (s *Server) Serve(ctx context.Context, listener net.Listener, grace time.Duration) error {
	s.conns, s.drained = map[*serverConn]struct{}{}, make(chan struct{})
	s.calls, s.ended = make(chan taken), make(chan struct{})
	s.budget = byteBudget{limit: s.MaxBytes}
	defer close(s.ended)
	failed := make(chan error, 1)
	go func() { failed <- s.accept(listener) }()
	var err error
	select {
	case err = <-failed:
		s.drain()
	case <-ctx.Done():
		s.drain() // first, so that a listener that is gone means not taken
		_ = listener.Close()
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-s.drained:
		s.sayBye(timer.C)
		return err
	case <-timer.C:
		s.closeAll()
		return errors.Join(err, ErrCutOff)
	}
}

func (s *Server) accept(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		c := &serverConn{net: conn, out: newOutbox(&s.frames), written: make(chan struct{})}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		go s.write(c)
		go s.read(c)
	}
}

// serverConn is one connection.
type serverConn struct {
	net     net.Conn
	out     *outbox
	written chan struct{} // closed when nothing is written any more
}

// write ends with the connection, or after the last frame of a drain.
func (s *Server) write(c *serverConn) {
	defer close(c.written)
	_ = c.out.run(c.net) // the client is gone, and with it those who wait
	_ = c.net.Close()
}

// read takes calls until the connection ends. Those under way go on: what they
// began should end whole.
func (s *Server) read(c *serverConn) {
	r := bufio.NewReaderSize(c.net, bufferBytes)
	for {
		call, taken, err := s.take(c, r)
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
			go s.work(call)
		}
	}
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.out.close()
	_ = c.net.Close()
}

// take reads the next request, if the server takes it: what it does not take it
// reads past, and says so.
func (s *Server) take(c *serverConn, r *bufio.Reader) (call taken, ok bool, err error) {
	head, length, err := readHeader(r, s.MaxRequest)
	if err != nil {
		return taken{}, false, err
	}
	if refused := s.begin(length); refused != 0 {
		if _, err := r.Discard(length); err != nil {
			return taken{}, false, io.ErrUnexpectedEOF
		}
		s.reply(c, head.call, refused)
		return taken{}, false, nil
	}
	body, err := readBody(r, length)
	if err != nil {
		s.end(length)
		return taken{}, false, err
	}
	return taken{conn: c, head: head, body: body}, true, nil
}

// taken is a call that is being answered.
type taken struct {
	conn *serverConn
	head header
	body []byte
}

// work answers a call, and then others, until enough goroutines wait for them.
func (s *Server) work(call taken) {
	for {
		s.answer(call)
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

func (s *Server) answer(call taken) {
	defer s.end(len(call.body))
	made := s.frames.get(call.head.call, kindAnswer)
	filled, err := s.Handler(call.head.kind, call.body, made.bytes)
	if err != nil {
		s.frames.put(made)
		s.reply(call.conn, call.head.call, kindMalformed)
		return
	}
	made.bytes = filled
	made.seal()
	call.conn.out.put(made)
}

func (s *Server) reply(c *serverConn, call uint32, kind byte) {
	made := s.frames.get(call, kind)
	if kind == kindFull {
		made.bytes = appendBudget(made.bytes, s.MaxBytes)
	}
	made.seal()
	c.out.put(made)
}

// begin takes a call, unless there are too many, or they hold too much, or none is
// taken any more: then it returns the kind of the reply.
func (s *Server) begin(size int) (refused byte) {
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

// end is called when the answer is in the outbox.
func (s *Server) end(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	s.budget.release(size)
	if s.draining && s.inFlight == 0 {
		close(s.drained)
	}
}

// drain takes no more calls.
func (s *Server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	if s.inFlight == 0 {
		close(s.drained)
	}
}

// sayBye ends each connection behind the last answer on it, within the time.
func (s *Server) sayBye(timeout <-chan time.Time) {
	s.mu.Lock()
	var open []*serverConn
	for c := range s.conns {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		s.reply(c, 0, kindBye)
		c.out.close()
	}
	for _, c := range open {
		select {
		case <-c.written:
		case <-timeout:
			s.closeAll()
			return
		}
	}
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.net.Close()
	}
}
