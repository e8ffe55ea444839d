// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
	"weak"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// sessionName is the name of the endpoint whose session receiveSession returns.
const sessionName = "endpoint.example"

// receiveSession makes a TLS handshake with an endpoint whose certificate has so many more
// names and whose tickets have so many bytes more. It returns what is kept of the session;
// nil: nothing.
func receiveSession(t *testing.T, version uint16, moreNames, ticketBytes int) *tls.ClientSessionState {
	t.Helper()
	const name = sessionName
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
	served := &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: version, MaxVersion: version}
	served.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		ticket, err := served.EncryptTicket(state, session)
		return append(ticket, make([]byte, ticketBytes)...), err
	}
	config := newTLSConfig(Options{RootCAs: authority.Pool()})
	config.ServerName = name
	handshake(t, served, config)
	session, _ := config.ClientSessionCache.Get(name)
	return session
}

// handshake makes a connection between an endpoint and a client, and brings the sessions
// that the endpoint sends.
func handshake(t *testing.T, served, config *tls.Config) tls.ConnectionState {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ours, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	endpoint := tls.Server(theirs, served)
	go func() {
		_, _ = io.WriteString(endpoint, "x") // over TLS 1.3 sessions come before it
		_, _ = io.Copy(io.Discard, theirs)
	}()
	client := tls.Client(ours, config)
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState()
}

func TestSessionsAreResumed(t *testing.T) {
	authority, err := receiver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Issue(time.Now().Add(time.Hour), sessionName)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		served := &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: version, MaxVersion: version}
		config := newTLSConfig(Options{RootCAs: authority.Pool()})
		config.ServerName = sessionName
		for i := range 3 {
			if resumed := handshake(t, served, config).DidResume; resumed != (i > 0) {
				t.Errorf("%s: handshake %d resumed a session: %t", tls.VersionName(version), i, resumed)
			}
		}
	}
}

// A session holds what certificates the endpoint has sent, up to 256 KiB: a thousand
// of these would be the dispatcher's memory.
func TestLargeSessionsAreNotKept(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if receiveSession(t, version, 50, 0) == nil {
			t.Errorf("%s: the session of an ordinary certificate is not kept", tls.VersionName(version))
		}
		if receiveSession(t, version, 5000, 0) != nil {
			t.Errorf("%s: a session of some 130 KiB is kept", tls.VersionName(version))
		}
		if receiveSession(t, version, 50, 48<<10) != nil {
			t.Errorf("%s: a session whose ticket has more than 48 KiB is kept", tls.VersionName(version))
		}
	}
}

// encoded are the parts of a session as bytes.
func encoded(t *testing.T, session *tls.ClientSessionState) (ticket, state []byte) {
	t.Helper()
	ticket, full, err := session.ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	if state, err = full.Bytes(); err != nil {
		t.Fatal(err)
	}
	return ticket, state
}

// A ticket and the certificates refer to the messages that they came in, which may be full
// of extensions that nobody knows.
func TestSessionsHoldNoMessages(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		ticket, state := encoded(t, receiveSession(t, version, 0, 0))
		cache := newSessionCache()
		messages := func() (messages []weak.Pointer[byte]) {
			in := func(part []byte) []byte {
				message := append(make([]byte, 0, 64<<10), part...)
				messages = append(messages, weak.Make(&message[0]))
				return message
			}
			parsed, err := tls.ParseSessionState(in(state))
			if err != nil {
				t.Fatal(err)
			}
			session, err := tls.NewResumptionState(in(ticket), parsed)
			if err != nil {
				t.Fatal(err)
			}
			cache.Put(sessionName, session)
			return messages
		}()
		for range 3 {
			runtime.GC()
		}
		for i, message := range messages {
			if message.Value() != nil {
				t.Errorf("%s: message %d is still in memory", tls.VersionName(version), i)
			}
		}
		session, kept := cache.Get(sessionName)
		if !kept {
			t.Fatalf("%s: the session is not kept", tls.VersionName(version))
		}
		if keptTicket, keptState := encoded(t, session); !bytes.Equal(keptTicket, ticket) || !bytes.Equal(keptState, state) {
			t.Errorf("%s: the session is another one", tls.VersionName(version))
		}
	}
}

func TestSessionsUsedLastAreKept(t *testing.T) {
	session := receiveSession(t, tls.VersionTLS13, 0, 0)
	cache := newSessionCache()
	kept := func(i int) bool {
		_, kept := cache.Get(fmt.Sprint(i))
		return kept
	}
	for i := range sessionsKept {
		cache.Put(fmt.Sprint(i), session)
	}
	if !kept(0) {
		t.Fatal("the first session is not kept")
	}
	cache.Put(fmt.Sprint(sessionsKept), session)
	if !kept(0) || kept(1) || !kept(2) || !kept(sessionsKept) {
		t.Error("the session that was used longest ago is to make room for a new one")
	}
	cache.Put("0", nil)
	if kept(0) {
		t.Error("a session is kept that TLS has dropped")
	}
}

func TestFewSessionsOfAConnectionAreKept(t *testing.T) {
	cache := newSessionCache()
	connection := &connectionSessions{ClientSessionCache: cache}
	session := receiveSession(t, tls.VersionTLS13, 0, 0)
	for i := range 100 {
		connection.Put(fmt.Sprint(i), session)
	}
	if n := cache.byUse.Len(); n != sessionsPerConnection {
		t.Errorf("%d sessions of a connection are kept, want %d", n, sessionsPerConnection)
	}
	connection.Put("0", nil)
	if cache.byAddress["0"] != nil {
		t.Error("a session is kept that TLS has dropped")
	}
}
