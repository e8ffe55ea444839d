// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

const (
	maxHeaderBytes   = 64 << 10 // of an answer, all 1xx answers before it included
	maxIdlePerHost   = 64
	maxIdle          = 2048
	idleTimeout      = 60 * time.Second
	pingAfter        = 15 * time.Second // of silence on an HTTP/2 connection
	pingTimeout      = 5 * time.Second
	sessionsKept     = 1024
	maxForbiddenSets = 4
)

// transports keeps one transport for each set of forbidden addresses that
// requests name; as a rule there is one. A connection is checked when it is
// made, so it may only be used again by a request that forbids the same.
type transports struct {
	policy   *netguard.Policy
	resolver Resolver
	tls      *tls.Config

	mu    sync.Mutex
	bySet map[string]*http.Transport
	order []string // the least recently made first
}

func newTransports(policy *netguard.Policy, resolver Resolver, roots *x509.CertPool) *transports {
	return &transports{
		policy:   policy,
		resolver: resolver,
		tls: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			VerifyConnection:   refuseControlPlane,
			RootCAs:            roots,
			ClientSessionCache: tls.NewLRUClientSessionCache(sessionsKept),
		},
		bySet: make(map[string]*http.Transport),
	}
}

// controlPlaneNames are in the certificate of every API server: Pods reach it by
// them.
var controlPlaneNames = []string{"kubernetes.default", "kubernetes.default.svc"} //nolint:gochecknoglobals // never changed

// refuseControlPlane refuses what proves to be an API server, wherever it is: its
// addresses may not be known. Nothing has been sent by then.
func refuseControlPlane(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	for _, name := range controlPlaneNames {
		if slices.Contains(state.PeerCertificates[0].DNSNames, name) {
			return &netguard.Refusal{Reason: netguard.ControlPlane}
		}
	}
	return nil
}

// get returns the transport for requests that forbid these addresses.
func (t *transports) get(forbidden []netip.Prefix) *http.Transport {
	var scratch [128]byte
	key := scratch[:0]
	for _, prefix := range forbidden {
		key = append(prefix.AppendTo(key), ' ')
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if transport, ok := t.bySet[string(key)]; ok {
		return transport
	}
	if len(t.order) == maxForbiddenSets {
		t.bySet[t.order[0]].CloseIdleConnections()
		delete(t.bySet, t.order[0])
		t.order = t.order[1:]
	}
	transport := t.make(append([]netip.Prefix(nil), forbidden...))
	t.bySet[string(key)] = transport
	t.order = append(t.order, string(key))
	return transport
}

func (t *transports) make(forbidden []netip.Prefix) *http.Transport {
	guarded := &dialer{policy: t.policy, forbidden: forbidden, resolver: t.resolver}
	return &http.Transport{
		Proxy:                  nil, // not even from the environment
		DialContext:            guarded.DialContext,
		TLSClientConfig:        t.tls.Clone(),
		TLSHandshakeTimeout:    MaxTimeout, // the attempt's own timeout is the shorter one
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true, // else a DialContext of our own turns it off
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// closeIdle closes every connection that no attempt uses.
func (t *transports) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, transport := range t.bySet {
		transport.CloseIdleConnections()
	}
}
