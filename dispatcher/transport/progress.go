// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Stage is how far an attempt has come.
type Stage int

// Stages, in order.
const (
	StageBegun   Stage = iota
	StageLookup        // of the host's addresses
	StageConnect       // to one of them
	StageTLS           // handshake
	StageRequest       // is being written
	StageAnswer        // is waited for
)

// Timings are the parts of an attempt; those of the last connection, if there were
// two. A part that did not happen is 0.
type Timings struct {
	DNS, Connect, TLS time.Duration
	FirstByte         time.Duration // from the request written to the answer's first byte
}

// Snapshot is what is known of an attempt at its end.
type Snapshot struct {
	Stage   Stage
	Timings Timings
	Remote  netip.Addr
	HTTP2   bool
	// Unanswered says that the TLS handshake failed before the endpoint sent anything.
	Unanswered bool
	// Addresses are those that the attempt was about, on whatever connection: what
	// the host resolved to, and what it was connected to.
	Addresses []netip.Addr
}

// progress follows one attempt. HTTP/2 reports from goroutines of its own, which
// may outlive the attempt.
type progress struct {
	mu    sync.Mutex
	seen  Snapshot
	since time.Time // when the stage began
}

// restart is for the same request on another connection.
func (p *progress) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen, p.since = Snapshot{Addresses: p.seen.Addresses}, time.Now()
}

// found notes what the host resolved to.
func (p *progress) found(addresses []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen.Addresses = slices.Concat(p.seen.Addresses, addresses)
}

// enter begins a stage, unless the attempt is further already.
func (p *progress) enter(s Stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s > p.seen.Stage {
		p.seen.Stage, p.since = s, time.Now()
	}
}

// end notes the time since a stage began, if the attempt is still in it.
func (p *progress) end(s Stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen.Stage != s {
		return
	}
	var part *time.Duration
	switch t := &p.seen.Timings; s {
	case StageLookup:
		part = &t.DNS
	case StageConnect:
		part = &t.Connect
	case StageTLS:
		part = &t.TLS
	case StageAnswer:
		part = &t.FirstByte
	case StageBegun, StageRequest:
	}
	if part != nil && *part == 0 {
		*part = time.Since(p.since)
	}
}

// use notes the connection that the request goes out on.
func (p *progress) use(remote netip.Addr, overHTTP2 bool) {
	p.enter(StageRequest)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen.Remote, p.seen.HTTP2 = remote, overHTTP2
	if !slices.Contains(p.seen.Addresses, remote) {
		p.seen.Addresses = append(slices.Clip(p.seen.Addresses), remote)
	}
}

// unanswered notes that nothing has come in the TLS handshake.
func (p *progress) unanswered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen.Unanswered = true
}

func (p *progress) snapshot() Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}
