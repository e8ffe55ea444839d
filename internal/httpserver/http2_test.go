// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// startTLS serves over TLS until the test ends; trusting is for clients over HTTP/2.
func startTLS(t *testing.T, options Options) (s *Server, address string, trusting *tls.Config) {
	t.Helper()
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS() // for its certificate
	t.Cleanup(certified.Close)
	options.TLS = &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12}
	s = New(options)
	roots := certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return s, start(t, s), &tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{protocolHTTP2}, MinVersion: tls.VersionTLS12}
}

// newHTTP2Client has one connection for all its requests.
func newHTTP2Client(t *testing.T, trusting *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: trusting, ForceAttemptHTTP2: true, MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 4 * patience}
}

// header is that of a request, the same bytes each time.
func header(more ...hpack.HeaderField) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for _, field := range append([]hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "h"}, {Name: ":path", Value: "/"},
	}, more...) {
		_ = encoder.WriteField(field) // to memory
	}
	return block.Bytes()
}

// connected is the only connection that is open.
func (c *connections) connected(t *testing.T) (one *trackedConnection) {
	t.Helper()
	waitFor(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for each := range c.open {
			one = each
		}
		return len(c.open) == 1
	})
	return one
}

func TestRequestsOfABusyConnectionAreRefused(t *testing.T) {
	const most, more = 20, 5
	release := make(chan struct{})
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	s, address, trusting := startTLS(t, Options{
		Connections: most, Listener: "api", Metrics: metrics,
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }),
	})
	client := newHTTP2Client(t, trusting)
	var refused atomic.Int64
	var answers sync.WaitGroup
	for range most/2 + more {
		answers.Go(func() {
			response, err := client.Get("https://" + address)
			if err != nil {
				t.Error(err)
				return
			}
			_ = response.Body.Close()
			if response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != "" {
				refused.Add(1)
			}
		})
	}
	waitFor(t, func() bool { return testutil.ToFloat64(metrics.surplus.WithLabelValues("api")) == more })
	other := newHTTP2Client(t, trusting)
	answers.Go(func() {
		if response, err := other.Get("https://" + address); err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("another connection: %v, %v", response, err)
		}
	})
	waitFor(t, func() bool { return s.underWay.Load() == most/2+1 })
	close(release)
	answers.Wait()
	if got := refused.Load(); got != more {
		t.Errorf("%d requests were refused, want %d", got, more)
	}
}

func TestAConnectionThatTakesNoAnswersIsCutOff(t *testing.T) {
	const large, small = 9 << 20, 2 << 20 // a client takes 4 MiB that nobody reads
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	s, address, trusting := startTLS(t, Options{Listener: "api", Metrics: metrics, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bytes := small
		if r.URL.Path == "/large" {
			bytes = large
		}
		_, _ = w.Write(make([]byte, bytes)) // the client sees it
	})})
	s.load.maxBytes = large + small/2
	idle, err := newHTTP2Client(t, trusting).Get("https://" + address + "/large")
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Body.Close() // the test is over
	response, err := newHTTP2Client(t, trusting).Get("https://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() // the test is over
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n != small {
		t.Errorf("who reads got %d bytes, %v", n, err)
	}
	if n, err := io.Copy(io.Discard, idle.Body); err == nil {
		t.Errorf("who does not read got all %d bytes", n)
	}
	if got := testutil.ToFloat64(metrics.untaken.WithLabelValues("api")); got != 1 {
		t.Errorf("%v connections were cut off", got)
	}
}

func TestABodyIsNotSlowedByTheFrameBudget(t *testing.T) {
	const bytes = 4 << 20 // at what may be sent beside requests it would take minutes
	_, address, trusting := startTLS(t, Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})})
	client := newHTTP2Client(t, trusting)
	for _, size := range []int{1, bytes} { // from the second request on the client knows how large frames may be
		response, err := client.Post("https://"+address, "text/plain", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || string(got) != fmt.Sprint(size) {
			t.Errorf("%s of %d bytes arrived, %v", got, size, err)
		}
	}
}

// Many requests of a proxy come over one connection: those that are refused may not
// hold up others.
func TestBodiesThatAreNotReadDoNotSlowOtherRequests(t *testing.T) {
	const requests, bytes = 40, 10 << 10 // beside requests it would take 20 s
	_, address, trusting := startTLS(t, Options{Handler: http.HandlerFunc(refuse)})
	client := newHTTP2Client(t, trusting)
	began := time.Now()
	for range requests {
		response, err := client.Post("https://"+address, "text/plain", strings.NewReader(strings.Repeat("x", bytes)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %d", response.StatusCode)
		}
	}
	if took := time.Since(began); took > patience {
		t.Errorf("%d requests that are refused took %s", requests, took)
	}
}

// A page that follows changes is open for hours: a peer may not fill its buffer meanwhile.
func TestABodyOfAGetIsNotKept(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	_, address, trusting := startTLS(t, Options{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(began)
		<-release
	})})
	stranger := tls.Client(dial(t, address).Conn, trusting)
	var wire bytes.Buffer
	wire.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&wire, stranger)
	_ = framer.WriteSettings()
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: header(), EndHeaders: true})
	send := func() {
		t.Helper()
		if _, err := stranger.Write(wire.Bytes()); err != nil {
			t.Fatal(err)
		}
		wire.Reset()
	}
	send()
	<-began // what comes before is dropped, but net/http gives its room back only with the answer
	for range 3 {
		_ = framer.WriteData(1, false, make([]byte, maxFrameBytes))
	}
	send()
	const initial = 64<<10 - 1 // RFC 9113, section 6.9.2
	for window := initial - 3*maxFrameBytes; window <= connectionBufferBytes-maxFrameBytes; {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("%d bytes are kept of a body that nobody reads: %v", connectionBufferBytes-window, err)
		}
		if update, ok := frame.(*http2.WindowUpdateFrame); ok && update.StreamID == 0 {
			window += int(update.Increment)
		}
	}
}

func TestRequestsThatAreGivenUpRefundNothing(t *testing.T) {
	const streams = 50
	var ended atomic.Int64
	s, address, trusting := startTLS(t, Options{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended.Add(1)
	})})
	stranger := tls.Client(dial(t, address).Conn, trusting)
	var wire bytes.Buffer
	wire.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&wire, nil)
	_ = framer.WriteSettings()
	block := header(hpack.HeaderField{Name: "x", Value: strings.Repeat("~", 800), Sensitive: true})
	for stream := uint32(1); stream < 2*streams; stream += 2 {
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true, EndStream: true})
	}
	for stream := uint32(1); stream < 2*streams; stream += 2 {
		_ = framer.WriteRSTStream(stream, http2.ErrCodeCancel)
	}
	go func() { _, _ = io.Copy(io.Discard, stranger) }()
	if _, err := stranger.Write(wire.Bytes()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return ended.Load() == streams && s.underWay.Load() == 0 })
	left := -s.connections.connected(t).frameBudget.Load().take(0)
	if most := float64(frameBurst - wire.Len()/2); left > most { // some came again with time
		t.Errorf("after %d bytes %.0f may be sent at once, want less than %.0f", wire.Len(), left, most)
	}
}

// Connections that make room for others do so in the middle of their handshakes, too.
func TestHandshakesMakeRoom(t *testing.T) {
	_, address, trusting := startTLS(t, Options{Connections: 2, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	var strangers sync.WaitGroup
	for range 8 {
		strangers.Go(func() {
			for range 20 {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				_ = tls.Client(conn, trusting).HandshakeContext(t.Context()) // it may have to go
				_ = conn.Close()
			}
		})
	}
	strangers.Wait()
}
