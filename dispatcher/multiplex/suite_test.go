// SPDX-License-Identifier: Apache-2.0

package multiplex_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/dispatcher/multiplex"
)

func TestMultiplex(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Multiplex")
}

const (
	maxBytes = 512 << 10
	timeout  = 10 * time.Second

	// Methods of the handler that tests use.
	echo  = byte(1) // answers with the request
	block = byte(2) // answers once it is released
	fail  = byte(3) // could not read the request
	long  = byte(4) // answers with too much

	// What servers write by hand, as frame.go says.
	kindAnswer = byte(1)
	kindBye    = byte(4)
)

var errFail = errors.New("no such thing")

// fixture is a server on a socket, and a client of it.
type fixture struct {
	path    string
	client  *multiplex.CallClient
	begun   chan struct{} // one for each call that blocks
	release chan struct{}
	cancel  context.CancelFunc
	served  chan error
	refused atomic.Int64
	held    atomic.Int64 // bytes that calls hold which block
	most    atomic.Int64
}

func newPath() string {
	GinkgoHelper()
	dir, err := os.MkdirTemp("", "bbmcp") // short: a socket's path has at most 104 bytes
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	return filepath.Join(dir, "s")
}

func listen(path string) net.Listener {
	GinkgoHelper()
	listener, err := net.Listen("unix", path)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = listener.Close() })
	return listener
}

func clientOf(path string) *multiplex.CallClient {
	client := multiplex.NewCallClient(func() (net.Conn, error) { return net.Dial("unix", path) }, maxBytes)
	DeferCleanup(client.Close)
	return client
}

func start(path string, maxCalls int, grace time.Duration) *fixture {
	GinkgoHelper()
	return startWithBudget(path, maxCalls, 0, grace)
}

func startWithBudget(path string, maxCalls int, room int64, grace time.Duration) *fixture {
	GinkgoHelper()
	listener := listen(path)
	ctx, cancel := context.WithCancel(context.Background())
	w := &fixture{path: path, client: clientOf(path), begun: make(chan struct{}, 1024), release: make(chan struct{}), cancel: cancel, served: make(chan error, 1)}
	server := &multiplex.CallServer{Handler: w.handle, MaxRequest: maxBytes, MaxCalls: maxCalls, MaxBytes: room, OnFull: func() { w.refused.Add(1) }, Logger: slog.New(slog.DiscardHandler)}
	go func() { w.served <- server.ServeCalls(ctx, listener, grace) }()
	DeferCleanup(cancel)
	return w
}

func (w *fixture) handle(method byte, body, answer []byte) ([]byte, error) {
	switch method {
	case fail:
		return nil, errFail
	case block:
		held := w.held.Add(int64(len(body)))
		for most := w.most.Load(); held > most && !w.most.CompareAndSwap(most, held); most = w.most.Load() {
			continue
		}
		w.begun <- struct{}{}
		<-w.release
		w.held.Add(-int64(len(body)))
	case long:
		return append(answer, make([]byte, maxBytes+1)...), nil
	}
	return append(answer, body...), nil
}

// answer is what came of a call.
type answer struct {
	body string
	err  error
}

// call makes a call in a goroutine of its own.
func call(ctx context.Context, client *multiplex.CallClient, within time.Duration, method byte, body string) <-chan answer {
	came := make(chan answer, 1)
	go func() {
		got, err := client.Call(ctx, within, method, nil, []byte(body))
		came <- answer{string(got), err}
	}()
	return came
}

// failsWith matches an answer that is exactly one of the three errors.
func failsWith(want error) OmegaMatcher {
	return WithTransform(func(got answer) []bool {
		var is []bool
		for _, err := range []error{multiplex.ErrNotTaken, multiplex.ErrLost, multiplex.ErrMalformed} {
			is = append(is, errors.Is(got.err, err) == errors.Is(want, err))
		}
		return is
	}, HaveEach(true))
}

// because matches an answer whose error wraps this one.
func because(want error) OmegaMatcher {
	return WithTransform(func(got answer) error { return got.err }, MatchError(want))
}

// byHand accepts one connection and hands it over.
func byHand(path string) <-chan net.Conn {
	GinkgoHelper()
	listener := listen(path)
	came := make(chan net.Conn, 1)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			came <- conn
		}
	}()
	return came
}

func frameOf(call uint32, kind byte, body string) []byte {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	return append(append(binary.BigEndian.AppendUint32(frame, call), kind), body...)
}

// readRequest reads one frame and returns the number of its call.
func readRequest(conn net.Conn) uint32 {
	GinkgoHelper()
	var head [9]byte
	_, err := io.ReadFull(conn, head[:])
	Expect(err).NotTo(HaveOccurred())
	_, err = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head[:])))
	Expect(err).NotTo(HaveOccurred())
	return binary.BigEndian.Uint32(head[4:])
}
