// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// patience is for what takes moments.
const patience = 5 * time.Second

// start serves until the test ends.
func start(t *testing.T, s *Server) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// client is one connection, byte by byte.
type client struct {
	t *testing.T
	net.Conn
	answers *bufio.Reader
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &client{t: t, Conn: conn, answers: bufio.NewReader(conn)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) answer() *http.Response {
	c.t.Helper()
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response
}

// ends waits until the server hangs up.
func (c *client) ends() {
	c.t.Helper()
	if _, err := c.answers.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("the connection goes on: %v", err)
	}
}

func refuse(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) }

func TestAnAnswerDoesNotWaitForAnUnreadBody(t *testing.T) {
	for name, header := range map[string]string{
		"announced":       "Content-Length: 200000\r\n\r\n",
		"begun":           "Content-Length: 200000\r\n\r\n{",
		"chunked":         "Transfer-Encoding: chunked\r\n\r\n",
		"to be continued": "Content-Length: 200000\r\nExpect: 100-continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, start(t, New(Options{Handler: http.HandlerFunc(refuse)})))
			c.send("POST / HTTP/1.1\r\nHost: h\r\n" + header)
			if got := c.answer(); got.StatusCode != http.StatusUnauthorized || !got.Close {
				t.Errorf("got %d, closing: %t", got.StatusCode, got.Close)
			}
			c.ends()
		})
	}
}

func TestAClientThatSendsBeforeItReadsGetsTheAnswer(t *testing.T) {
	c := dial(t, start(t, New(Options{Handler: http.HandlerFunc(refuse)})))
	const size = discardBytes / 2
	c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size))
	c.send(strings.Repeat("x", size))
	if got := c.answer(); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d", got.StatusCode)
	}
	c.ends()
}

func TestDiscardedBytesAreBoundedForAllConnectionsTogether(t *testing.T) {
	const burst = 1 << 20
	budget := rate.NewLimiter(0, burst)
	var read int64
	for range 3 {
		n, err := io.CopyN(io.Discard, budgetedReader{zeros{}, budget}, discardBytes)
		if err == nil {
			t.Fatal("all of it was read")
		}
		read += n
	}
	if most := int64(burst + 3*64<<10); read > most {
		t.Errorf("%d bytes were read, at most %d may be", read, most)
	}
}

// zeros is a body without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestABodyThatDoesNotArriveIsGivenUp(t *testing.T) {
	s := New(Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if _, err := io.ReadAll(request.Body); errors.Is(err, os.ErrDeadlineExceeded) {
			w.WriteHeader(http.StatusRequestTimeout)
		}
	})})
	s.bodyTimeout = 50 * time.Millisecond
	c := dial(t, start(t, s))
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nfour")
	if got := c.answer(); got.StatusCode != http.StatusRequestTimeout || !got.Close {
		t.Errorf("got %d, closing: %t", got.StatusCode, got.Close)
	}
	c.ends()
}

func TestAHandlerMayTakeLongerThanABody(t *testing.T) {
	s := New(Options{})
	s.bodyTimeout = 20 * time.Millisecond
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		_, _ = io.ReadAll(request.Body)
		select {
		case <-request.Context().Done():
			w.WriteHeader(http.StatusServiceUnavailable)
		case <-time.After(5 * s.bodyTimeout):
		}
	})
	c := dial(t, start(t, s))
	for range 2 { // the connection serves the next one as well
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nfour")
		if got := c.answer(); got.StatusCode != http.StatusOK || got.Close {
			t.Errorf("got %d, closing: %t", got.StatusCode, got.Close)
		}
	}
}

func TestAHeaderIsBounded(t *testing.T) {
	c := dial(t, start(t, New(Options{Handler: http.HandlerFunc(refuse)})))
	c.send("GET / HTTP/1.1\r\nHost: h\r\nX-Long: " + strings.Repeat("x", 2*MaxHeaderBytes) + "\r\n\r\n")
	if got := c.answer(); got.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d", got.StatusCode)
	}
	c.ends()
}

func TestAServerThatRetiresSaysSoAndKeepsIdleConnections(t *testing.T) {
	s := New(Options{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	address := start(t, s)
	const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	idle, fresh := dial(t, address), dial(t, address)
	idle.send(get)
	if idle.answer().Close {
		t.Error("it closes at once")
	}
	s.Retire()
	for _, c := range []*client{fresh, idle} {
		c.send(get)
		if got := c.answer(); got.StatusCode != http.StatusOK || !got.Close {
			t.Errorf("got %d, closing: %t", got.StatusCode, got.Close)
		}
		c.ends()
	}
}

func TestShutdownCountsTheRequestsItCutsOff(t *testing.T) {
	begun, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	s := New(Options{Handler: http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		begun <- struct{}{}
		<-request.Context().Done()
		ended <- struct{}{}
	})})
	address := start(t, s)
	for range 2 {
		dial(t, address).send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		<-begun
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if cut := s.Shutdown(ctx); cut != 2 {
		t.Errorf("%d requests were cut off, want 2", cut)
	}
	for range 2 {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("a handler goes on")
		}
	}
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	s := New(Options{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(begun)
		<-goOn
	})})
	c := dial(t, start(t, s))
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-begun
	cut := make(chan int)
	go func() { cut <- s.Shutdown(t.Context()) }()
	close(goOn)
	if got := c.answer(); got.StatusCode != http.StatusOK {
		t.Errorf("got %d", got.StatusCode)
	}
	if n := <-cut; n != 0 {
		t.Errorf("%d requests were cut off", n)
	}
}
