// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

// An endpoint that takes no request keeps no connection of ours.
func TestAConnectionThatTakesNoRequestIsClosed(t *testing.T) {
	t.Parallel()
	certified := httptest.NewUnstartedServer(nil)
	certified.EnableHTTP2 = true
	certified.StartTLS() // for its certificate
	defer certified.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // the test is over
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close() // its other end is what is waited for
		_ = http2.NewFramer(conn, conn).WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
		_, _ = io.Copy(io.Discard, conn)
	}()
	transport := New(Options{
		Policy:  netguard.New(netguard.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		RootCAs: certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs,
	})
	to := &url.URL{Scheme: "https", Host: listener.Addr().String(), Path: "/"}
	connected, err := transport.connect(t.Context(), &Request{URL: to, Host: to.Host, Attempt: 1}, &progress{}, false)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := transport.newHTTP2Conn(t.Context(), connected)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for shared.client.Available() > 0 { // until its settings are there
		<-tick.C
	}
	if err := shared.begin(); err == nil {
		t.Error("it takes a request")
	}
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("it is open, and nothing knows of it")
	}
}
