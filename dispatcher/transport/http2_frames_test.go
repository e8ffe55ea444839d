// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// patience is more than anything here takes.
const patience = 10 * time.Second

// halfEnded is a TCP connection on which TLS has said good-bye and TCP has not: what
// looks for the end of it waits.
type halfEnded struct {
	*net.TCPConn

	asked chan struct{} // closed when it is being waited for
	ends  chan struct{}
	once  sync.Once
}

func (c *halfEnded) SyscallConn() (syscall.RawConn, error) { return c.TCPConn.SyscallConn() }

func (c *halfEnded) Read([]byte) (int, error) {
	c.once.Do(func() { close(c.asked) })
	<-c.ends
	return 0, io.EOF
}

// goodBye is TLS on a connection whose peer has said good-bye.
type goodBye struct{ net.Conn }

func (goodBye) Read([]byte) (int, error) { return 0, io.EOF }

// All requests to a destination look at its connections under the lock of the pool,
// which those of all other destinations need as well.
func TestHowAConnectionEndsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // the test is over
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close() // the test is over
	ending := &halfEnded{TCPConn: dialed.(*net.TCPConn), asked: make(chan struct{}), ends: make(chan struct{})}
	socket := newSocket(ending)
	f := newHTTP2Frames(&connection{socket: socket, conn: goodBye{socket}})
	read := make(chan error, 1)
	go func() {
		_, err := f.Read(make([]byte, 1))
		read <- err
	}()
	<-ending.asked
	looked := make(chan bool, 1)
	go func() { looked <- f.leaves() }()
	select {
	case leaves := <-looked:
		if leaves {
			t.Error("it has not said that it leaves")
		}
	case <-time.After(patience):
		t.Error("who looks for a connection waits for the end of one")
	}
	close(ending.ends)
	if err := <-read; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// What an endpoint says of requests that are not under way is not kept, however many
// it makes up.
func TestRefusalsOfNothingAreNotKept(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer ours.Close() // the test is over
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	f := newHTTP2Frames(&connection{socket: newSocket(ours), conn: ours})
	f.out.preface = 0
	head := func(stream uint32) {
		if _, err := f.Write(binary.BigEndian.AppendUint32([]byte{0, 0, 0, frameHeaders, 4}, stream)); err != nil {
			t.Fatal(err)
		}
	}
	reset := func(stream uint32) {
		h := http2FrameHeader{length: 4, kind: frameRSTStream, stream: stream}
		binary.BigEndian.PutUint32(h.kept[:], uint32(http2.ErrCodeRefusedStream))
		f.mu.Lock()
		defer f.mu.Unlock()
		f.received(h)
	}
	const requests, madeUp = 100, 200
	for i := range uint32(requests) {
		stream := 2*i + 1
		head(stream)
		f.end(stream) // it was answered
		for j := range uint32(madeUp) {
			reset(stream + 2*j)
		}
	}
	last := uint32(2*requests + 1)
	head(last)
	reset(last)
	if got := f.refusal(last, 0); got != refused {
		t.Errorf("a request that was refused counts as %v", got)
	}
	f.end(last)

	if len(f.underWay) > 0 {
		t.Errorf("%d streams are remembered", len(f.underWay))
	}
}
