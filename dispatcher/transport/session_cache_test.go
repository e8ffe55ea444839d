// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// keepsSession reports whether the TLS session of an endpoint with a certificate for
// so many more names is kept.
func keepsSession(t *testing.T, version uint16, moreNames int) bool {
	t.Helper()
	const name = "endpoint.example"
	authority, err := receiver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{name}
	for i := range moreNames {
		names = append(names, fmt.Sprintf("host-%d.endpoint.example", i))
	}
	certificate, err := authority.Issue(time.Now().Add(time.Hour), names...)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	endpoint := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: version, MaxVersion: version})
	go func() {
		_, _ = io.WriteString(endpoint, "x") // over TLS 1.3 sessions come before it
		_, _ = io.Copy(io.Discard, theirs)
	}()
	defer theirs.Close()
	defer ours.Close()
	config := newTLSConfig(Options{RootCAs: authority.Pool()})
	config.ServerName = name
	if _, err := io.ReadFull(tls.Client(ours, config), make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_, kept := config.ClientSessionCache.Get(name)
	return kept
}

// A session holds what certificates the endpoint has sent, up to 256 KiB: a thousand
// of these would be the dispatcher's memory.
func TestLargeSessionsAreNotKept(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if !keepsSession(t, version, 50) {
			t.Errorf("%s: the session of an ordinary certificate is not kept", tls.VersionName(version))
		}
		if keepsSession(t, version, 5000) {
			t.Errorf("%s: a session of some 130 KiB is kept", tls.VersionName(version))
		}
	}
}
