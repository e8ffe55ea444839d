// SPDX-License-Identifier: Apache-2.0

package transport

import "crypto/tls"

const (
	// sessionsKept is how many TLS sessions are remembered, to shorten handshakes.
	sessionsKept = 1024
	// maxSessionBytes is how large one may be. It holds the certificates that the
	// endpoint has sent, as a rule 4 to 8 KiB, and TLS lets them have 256.
	maxSessionBytes = 16 << 10
)

// sessionCache remembers TLS sessions but large ones.
type sessionCache struct{ tls.ClientSessionCache }

func newSessionCache() sessionCache {
	return sessionCache{tls.NewLRUClientSessionCache(sessionsKept)}
}

// Put implements [tls.ClientSessionCache]. What cannot be measured is not kept.
func (c sessionCache) Put(endpoint string, session *tls.ClientSessionState) {
	if session != nil && sessionBytes(session) > maxSessionBytes {
		if _, kept := c.Get(endpoint); !kept {
			return
		}
		session = nil // forget what was kept before
	}
	c.ClientSessionCache.Put(endpoint, session)
}

// sessionBytes is what a session takes, about.
func sessionBytes(session *tls.ClientSessionState) int {
	ticket, state, err := session.ResumptionState()
	if err != nil || state == nil {
		return maxSessionBytes + 1
	}
	encoded, err := state.Bytes()
	if err != nil {
		return maxSessionBytes + 1
	}
	return len(ticket) + len(encoded)
}
