// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"container/list"
	"crypto/tls"
	"sync"
	"sync/atomic"
)

const (
	// sessionsKept is how many TLS sessions are remembered, to shorten handshakes.
	sessionsKept = 1024
	// maxSessionBytes is how large one may be. It holds the certificates that the
	// endpoint has sent, as a rule 4 to 8 KiB, and TLS lets them have 256.
	maxSessionBytes = 16 << 10
	// sessionsPerConnection is how many of those that an endpoint sends on one connection
	// are looked at. Servers send up to four.
	sessionsPerConnection = 4
)

// sessionCache remembers the TLS sessions that were used last, but no large ones. It
// keeps them encoded: a [tls.ClientSessionState] holds on to the whole handshake messages
// that its certificates and its ticket came in, of up to 64 KiB each, whatever else is in
// there, and parsed certificates are several times as large as they were sent. So all
// sessions take 16 MiB at most. It is safe for concurrent use.
type sessionCache struct {
	mu        sync.Mutex
	byAddress map[string]*list.Element
	byUse     list.List // of *encodedSession: the one that was used last comes first
}

// encodedSession is a session as it can be parsed again.
type encodedSession struct {
	address       string // as TLS names it
	ticket, state []byte
}

func newSessionCache() *sessionCache {
	return &sessionCache{byAddress: map[string]*list.Element{}}
}

// Get implements [tls.ClientSessionCache].
func (c *sessionCache) Get(address string) (*tls.ClientSessionState, bool) {
	encoded := c.find(address)
	if encoded == nil {
		return nil, false
	}
	// The session that is parsed refers to what it is parsed from.
	state, err := tls.ParseSessionState(bytes.Clone(encoded.state))
	if err != nil {
		return nil, false
	}
	session, err := tls.NewResumptionState(bytes.Clone(encoded.ticket), state)
	return session, err == nil
}

func (c *sessionCache) find(address string) *encodedSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.byAddress[address]
	if element == nil {
		return nil
	}
	c.byUse.MoveToFront(element)
	return sessionIn(element)
}

// Put implements [tls.ClientSessionCache]. What cannot be encoded is not kept; the session
// that was kept before is forgotten.
func (c *sessionCache) Put(address string, session *tls.ClientSessionState) {
	encoded := encodeSession(address, session)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.byAddress[address])
	if encoded == nil {
		return
	}
	c.byAddress[address] = c.byUse.PushFront(encoded)
	if c.byUse.Len() > sessionsKept {
		c.remove(c.byUse.Back())
	}
}

func (c *sessionCache) remove(element *list.Element) {
	if element != nil {
		delete(c.byAddress, sessionIn(element).address)
		c.byUse.Remove(element)
	}
}

func sessionIn(element *list.Element) *encodedSession {
	session, _ := element.Value.(*encodedSession)
	return session
}

// encodeSession returns nil for a session that is not kept.
func encodeSession(address string, session *tls.ClientSessionState) *encodedSession {
	if session == nil {
		return nil
	}
	ticket, state, err := session.ResumptionState()
	if err != nil || state == nil {
		return nil
	}
	encoded, err := state.Bytes()
	if err != nil || len(ticket)+len(encoded) > maxSessionBytes {
		return nil
	}
	return &encodedSession{address: address, ticket: bytes.Clone(ticket), state: bytes.Clone(encoded)}
}

// connectionSessions is the cache as one connection sees it: an endpoint can send sessions
// without end, each of which costs as much as a small handshake.
type connectionSessions struct {
	tls.ClientSessionCache

	put atomic.Int32
}

// Put implements [tls.ClientSessionCache].
func (c *connectionSessions) Put(address string, session *tls.ClientSessionState) {
	if session == nil || c.put.Add(1) <= sessionsPerConnection {
		c.ClientSessionCache.Put(address, session)
	}
}
