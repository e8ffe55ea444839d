// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/http2"
)

const simple = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

func TestANewConnectionTakesThePlaceOfOneWithoutARequest(t *testing.T) {
	held := make(chan struct{})
	begun := make(chan struct{}, 3)
	registry := prometheus.NewRegistry()
	s := New(Options{Connections: 3, Listener: "api", Metrics: NewMetrics(registry), Handler: http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/held" {
			begun <- struct{}{}
			<-held
		}
	})})
	address := start(t, s)
	active, idle := dial(t, address), dial(t, address)
	active.send("GET /held HTTP/1.1\r\nHost: h\r\n\r\n")
	<-begun
	idle.send(simple)
	idle.answer()
	stranger := dial(t, address)
	waitFor(t, func() bool {
		return s.connections.countIn(http.StateNew) == 1 && s.connections.countIn(http.StateIdle) == 1
	})

	next := dial(t, address) // in place of the one that sent nothing
	next.send("GET /held HTTP/1.1\r\nHost: h\r\n\r\n")
	<-begun
	stranger.ends()
	last := dial(t, address) // in place of the idle one
	last.send("GET /held HTTP/1.1\r\nHost: h\r\n\r\n")
	<-begun
	idle.ends()

	waiting := dial(t, address) // until a request has ended
	waiting.send(simple)
	close(held)
	for _, c := range []*client{active, next, last, waiting} {
		if got := c.answer(); got.StatusCode != http.StatusOK {
			t.Errorf("got %d", got.StatusCode)
		}
	}
	for state, want := range map[string]float64{"new": 1, "idle": 2} {
		if got := testutil.ToFloat64(s.metrics.evictions.WithLabelValues("api", state)); got != want {
			t.Errorf("%v were evicted in state %s, want %v", got, state, want)
		}
	}
	waitFor(t, func() bool { return testutil.ToFloat64(s.metrics.open.WithLabelValues("api", "active")) == 0 })
}

func TestAnswersToAPeerThatReadsNothingAreNotMade(t *testing.T) {
	const answerBytes, maxBytes = 16 << 10, 512 << 10
	var made atomic.Int64
	s := New(Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		made.Add(1)
		_, _ = w.Write(make([]byte, answerBytes))
	})})
	c := dial(t, start(t, s))
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	c.send(strings.Repeat(simple, 1000))
	last, since := int64(0), time.Now()
	waitFor(t, func() bool { // until no more are made
		if now := made.Load(); now != last {
			last, since = now, time.Now()
		}
		return last > 0 && time.Since(since) > 200*time.Millisecond
	})
	if got := made.Load() * answerBytes; got > maxBytes {
		t.Errorf("%d bytes of answers were made for a peer that reads none, at most %d may be", got, maxBytes)
	}
}

func TestAHeaderThatNeverEndsKeepsNoPlaceFromOthers(t *testing.T) {
	c := newConnections(2, "api", nil)
	admitted := func() net.Conn {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = theirs.Close() })
		one, err := c.admit(ours)
		if err != nil {
			t.Fatal(err)
		}
		return one
	}
	neighbour, stranger := admitted(), admitted()
	c.stateChanged(neighbour, http.StateActive)
	c.beginRequest(neighbour)
	c.stateChanged(neighbour, http.StateIdle)
	c.stateChanged(stranger, http.StateActive) // a byte of a header has come
	if got := c.leastUseful(); got != stranger {
		t.Errorf("the one that has served a request makes room")
	}
	c.beginRequest(stranger)
	if got := c.leastUseful(); got != neighbour {
		t.Errorf("one that serves a request makes room")
	}
}

// Streams that are reset before their handlers begin: a stranger needs no right for
// that, and would keep its connections for as long as idle ones are kept.
func TestAConnectionWhoseRequestsWereResetKeepsNoPlaceFromOthers(t *testing.T) {
	const most, streams = 8, 10
	s, address, trusting := startTLS(t, Options{Connections: most, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	request := header()
	for range most {
		var wire bytes.Buffer
		wire.WriteString(http2.ClientPreface)
		framer := http2.NewFramer(&wire, nil)
		_ = framer.WriteSettings()
		for stream := uint32(1); stream < 2*streams; stream += 2 {
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: request, EndHeaders: true, EndStream: true})
			_ = framer.WriteRSTStream(stream, http2.ErrCodeCancel)
		}
		stranger := tls.Client(dial(t, address).Conn, trusting)
		if _, err := stranger.Write(wire.Bytes()); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, stranger) }()
	}
	waitFor(t, func() bool { return s.connections.countIn(http.StateIdle) == most })
}

func (c *connections) countIn(state http.ConnState) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.open {
		if one.kind.state == state {
			n++
		}
	}
	return n
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	gomega.NewWithT(t).Eventually(what).WithTimeout(patience).WithPolling(time.Millisecond).Should(gomega.BeTrue())
}

func TestLeastUseful(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	type row struct {
		peer  string
		state http.ConnState
		since int // seconds
	}
	tests := []struct {
		name string
		open []row
		want int // index; -1: none
	}{
		{"none that serve a request", []row{{"10.0.0.1", http.StateActive, 0}, {"10.0.0.2", http.StateActive, 0}}, -1},
		{"one that never sent a request before those that did", []row{{"10.0.0.1", http.StateIdle, 0}, {"10.0.0.1", http.StateIdle, 0}, {"10.0.0.2", http.StateNew, 9}}, 2},
		{"the oldest of one peer", []row{{"10.0.0.1", http.StateIdle, 5}, {"10.0.0.1", http.StateIdle, 3}, {"10.0.0.1", http.StateIdle, 4}}, 1},
		{"of the peer with the most, though another's is older", []row{{"10.0.0.1", http.StateIdle, 0}, {"10.0.0.2", http.StateIdle, 8}, {"10.0.0.2", http.StateIdle, 7}}, 2},
		{"of the peer with the most that are idle, not of all", []row{
			{"10.0.0.1", http.StateActive, 0}, {"10.0.0.1", http.StateActive, 0}, {"10.0.0.1", http.StateIdle, 0},
			{"10.0.0.2", http.StateIdle, 2}, {"10.0.0.2", http.StateIdle, 1},
		}, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newConnections(len(tt.open), "api", nil)
			index := map[*trackedConnection]int{}
			for i, r := range tt.open {
				one := &trackedConnection{set: c, kind: connectionKind{netip.MustParseAddr(r.peer), r.state}, since: begin.Add(time.Duration(r.since) * time.Second)}
				c.open[one], index[one] = struct{}{}, i
				c.count(one.kind, 1)
			}
			got := -1
			if found := c.leastUseful(); found != nil {
				got = index[found]
			}
			if got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
