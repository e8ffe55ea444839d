// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// idleTime is how long a connection over HTTP/1.1 is kept that the endpoint says
	// nothing of. Servers close theirs after two seconds (Gunicorn), five (Apache,
	// Node.js, Uvicorn) or a minute (load balancers); who waits as long as they do
	// meets the end of the connection with a request, again and again.
	idleTime = 1500 * time.Millisecond
	// maxIdleTime bounds what endpoints ask for.
	maxIdleTime = 10 * time.Second
	// http2IdleTime is the same over HTTP/2, where the end of a connection names the
	// requests that it leaves out.
	http2IdleTime = 4 * time.Second
	// maxIdlePerDestination and maxIdle bound how many connections wait for the next
	// request.
	maxIdlePerDestination = 64
	maxIdle               = 1024
	// maxIdleBytes bounds what they take in memory: as many as there may be with ordinary
	// certificates, and a fifth of that with as many as an endpoint may send.
	maxIdleBytes = 64 << 20
	// sweepEvery is how often those are looked for that have waited too long.
	sweepEvery = 500 * time.Millisecond
	// shareTime is how long a request waits for a connection that another one makes
	// and that both can use.
	shareTime = 300 * time.Millisecond
	// provingTime is how long a first connection is left alone after its first answer,
	// unless the endpoint announces that it keeps it. Who closes connections at once
	// has done so by then; who is slower does not close them between two requests that
	// follow closely.
	provingTime = 50 * time.Millisecond
	// rememberFor is how long it is remembered that a destination speaks no HTTP/2,
	// or closes connections at once, or sooner than most.
	rememberFor     = time.Hour
	maxDestinations = 4096
)

// pool holds the connections that are there.
type pool struct {
	now func() time.Time

	mu           sync.Mutex
	destinations map[string]*pooledDestination
	idle         int // connections that nothing is under way on
	idleBytes    int // that these take
	sweeping     bool
}

// pooledDestination is a scheme, host and port, under one set of forbidden addresses: a
// connection is checked when it is made, so it may only be used again by a request
// that forbids the same.
type pooledDestination struct {
	idle    []*http1Conn // the one that was used last comes last
	shared  []*http2Conn
	dialing int
	dialed  chan struct{} // closed when a connection was made, or not

	protocol  string        // that it spoke last; "" if that is not known
	overHTTP1 time.Time     // until when nothing but HTTP/1.1 is spoken
	keeps     bool          // it is known to keep connections over HTTP/1.1
	closes    time.Time     // until when none is kept: it closes each after an answer
	idleTime  time.Duration // it closes connections after about twice that; 0: nothing is known
	learned   time.Time     // when idleTime was
}

func newPool() *pool {
	return &pool{now: time.Now, destinations: map[string]*pooledDestination{}}
}

// destination returns what is known of a destination. The lock is held.
func (p *pool) destination(key string) *pooledDestination {
	d, ok := p.destinations[key]
	if !ok {
		d = &pooledDestination{}
		p.destinations[key] = d
	}
	return d
}

// takeHTTP1 returns a connection that was used before and is as it was left; nil if
// there is none.
func (p *pool) takeHTTP1(key string) *http1Conn {
	for {
		p.mu.Lock()
		d, ok := p.destinations[key]
		if !ok {
			p.mu.Unlock()
			return nil
		}
		c := d.takeIdle(p.now())
		if c == nil {
			p.mu.Unlock()
			return nil
		}
		p.adjustIdle(c.socket, -1)
		fresh := c.idle < d.limit(c)
		p.mu.Unlock()
		if fresh {
			if c.socket.quiet() {
				return c
			}
			p.foundEnded(key, c)
		}
		c.close()
	}
}

// takeIdle returns the connection that is to be used next; nil if there is none. Of
// an endpoint that is not known to keep connections only one that has been idle for
// a while may be: the end of the others may be under way.
func (d *pooledDestination) takeIdle(now time.Time) *http1Conn {
	if len(d.idle) == 0 {
		return nil
	}
	next := len(d.idle) - 1
	if !d.keeps {
		next = 0
	}
	c := d.idle[next]
	c.idle = now.Sub(c.idleSince)
	if !d.keeps && c.idle < provingTime {
		return nil
	}
	d.idle = slices.Delete(d.idle, next, next+1)
	return c
}

// foundEnded takes in that an endpoint has closed a connection while nothing was
// under way on it. After the first answer that tells that it may close each; later
// on it may have been restarted.
func (p *pool) foundEnded(key string, c *http1Conn) {
	if c.answers > 1 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.destination(key)
	switch {
	case d.keeps:
		d.keeps = false
	case c.idle < 2*provingTime:
		d.closes = p.now().Add(rememberFor)
	default:
		d.idleTime, d.learned = c.idle/2, p.now()
	}
}

// limit is how long a connection may be idle.
func (d *pooledDestination) limit(c *http1Conn) time.Duration {
	limit := idleTime
	if c.announced > 0 {
		limit = min(c.announced/2, maxIdleTime) // it counts from when it sent the answer
	}
	if d.idleTime > 0 {
		limit = min(limit, d.idleTime)
	}
	return limit
}

// put keeps a connection for the next request.
func (p *pool) put(key string, c *http1Conn) {
	c.idleSince = p.now()
	p.mu.Lock()
	d := p.destination(key)
	d.keeps = d.keeps || c.answers > 1 || c.announced > 0
	keep := p.mayKeepIdle(d) && !p.now().Before(d.closes)
	if keep {
		d.idle = append(d.idle, c)
		p.adjustIdle(c.socket, 1)
	}
	p.sweepLater()
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// closedIdle takes in that an endpoint closed an idle connection when it was used.
// One that had hardly been idle tells nothing of how long it keeps them: the endpoint
// may have been restarted, or no longer keep any.
func (p *pool) closedIdle(key string, c *http1Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.destination(key); c.idle < provingTime {
		d.keeps = false
	} else {
		d.idleTime, d.learned = c.idle/2, p.now()
	}
}

// reserve returns a connection over HTTP/2 with a slot for one request; nil if
// there is none.
func (p *pool) reserve(key string) *http2Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.destinations[key]
	if !ok || p.now().Before(d.overHTTP1) {
		return nil
	}
	for _, c := range d.shared {
		if c.underWay == 0 && p.now().Sub(c.idle) > http2IdleTime || c.retired || c.frames.leaves() {
			continue
		}
		if c.client.Reserve() == nil {
			if c.underWay == 0 {
				p.adjustIdle(c.frames.socket, -1)
			}
			c.underWay++
			return c
		}
	}
	return nil
}

// add keeps a connection over HTTP/2, whose maker has a slot of it.
func (p *pool) add(key string, c *http2Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.destination(key)
	c.underWay++
	d.shared = append(d.shared, c)
	p.sweepLater()
}

// release takes in that a request on the connection has ended. The connection is closed
// if too many others are idle: an endpoint may take one request at a time on each.
func (p *pool) release(key string, c *http2Conn, retire bool) {
	p.mu.Lock()
	d := p.destination(key)
	tooMany := c.underWay == 1 && !p.mayKeepIdle(d)
	c.underWay--
	c.idle = p.now()
	c.retired = c.retired || retire
	switch {
	case tooMany:
		d.shared = slices.DeleteFunc(d.shared, func(each *http2Conn) bool { return each == c })
	case c.underWay == 0:
		p.adjustIdle(c.frames.socket, 1)
	}
	p.mu.Unlock()
	if tooMany {
		c.close()
	}
}

// mayKeepIdle reports whether one more connection to a destination may be idle. The lock
// is held.
func (p *pool) mayKeepIdle(d *pooledDestination) bool {
	return p.idle < maxIdle && p.idleBytes < maxIdleBytes && d.countIdle() < maxIdlePerDestination
}

// adjustIdle takes in that a connection is idle from now on (1), or no longer (-1). The lock is held.
func (p *pool) adjustIdle(s *socket, sign int) {
	p.idle += sign
	p.idleBytes += sign * s.memory
}

// countIdle is how many connections nothing is under way on.
func (d *pooledDestination) countIdle() int {
	idle := len(d.idle)
	for _, c := range d.shared {
		if c.underWay == 0 {
			idle++
		}
	}
	return idle
}

// forgoHTTP2 takes in that the endpoint wants HTTP/1.1.
func (p *pool) forgoHTTP2(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.destination(key).overHTTP1 = p.now().Add(rememberFor)
}

// beginDial returns a channel if the caller should wait for a connection that
// another request makes, and that both can use over HTTP/2; it is closed when that
// is there, or will never be.
func (p *pool) beginDial(key string, mayShare bool) (overHTTP1 bool, wait <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.destination(key)
	overHTTP1 = p.now().Before(d.overHTTP1)
	if mayShare && d.dialing > 0 && d.protocol != protocolHTTP1 && !overHTTP1 {
		return overHTTP1, d.dialed
	}
	if d.dialing == 0 {
		d.dialed = make(chan struct{})
	}
	d.dialing++
	return overHTTP1, nil
}

// endDial takes in what a new connection speaks; "" if there is none.
func (p *pool) endDial(key, protocol string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.destination(key)
	if protocol != "" {
		d.protocol = protocol
	}
	d.dialing--
	close(d.dialed)
	if d.dialing > 0 {
		d.dialed = make(chan struct{})
	}
	p.sweepLater()
}

// sweepLater lets go of what is idle for too long, from time to time while there is
// anything. The lock is held.
func (p *pool) sweepLater() {
	if !p.sweeping {
		p.sweeping = true
		time.AfterFunc(sweepEvery, func() { p.sweep(false) })
	}
}

// sweep closes what was idle for too long, or all that is idle, and forgets
// destinations that nothing is known of.
func (p *pool) sweep(all bool) {
	var old []interface{ close() }
	left := 0
	p.mu.Lock()
	now := p.now()
	for key, d := range p.destinations {
		kept := d.idle[:0]
		for _, c := range d.idle {
			if all || now.Sub(c.idleSince) >= d.limit(c) {
				old = append(old, c)
				p.adjustIdle(c.socket, -1)
			} else {
				kept = append(kept, c)
			}
		}
		clear(d.idle[len(kept):])
		d.idle = kept
		d.shared = slices.DeleteFunc(d.shared, func(c *http2Conn) bool {
			ended := c.underWay == 0 && (all || c.retired || c.client.Err() != nil || now.Sub(c.idle) >= http2IdleTime)
			if ended {
				old = append(old, c)
				p.adjustIdle(c.frames.socket, -1)
			}
			return ended
		})
		if d.idleTime > 0 && now.Sub(d.learned) >= rememberFor {
			d.idleTime = 0
		}
		left += len(d.idle) + len(d.shared)
		if d.isForgettable(now, len(p.destinations) > maxDestinations) {
			delete(p.destinations, key)
		}
	}
	if !all {
		if p.sweeping = left > 0; p.sweeping {
			time.AfterFunc(sweepEvery, func() { p.sweep(false) })
		}
	}
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// isForgettable reports whether nothing is lost with a destination, or nothing but
// what would be learned again.
func (d *pooledDestination) isForgettable(now time.Time, tooMany bool) bool {
	if len(d.idle) > 0 || len(d.shared) > 0 || d.dialing > 0 {
		return false
	}
	return tooMany || d.idleTime == 0 && !now.Before(d.overHTTP1) && !now.Before(d.closes)
}

// poolKey names a destination under the addresses that a request forbids.
func poolKey(r *Request) string {
	var scratch [256]byte
	key := append(scratch[:0], r.URL.Scheme...)
	key = append(key, "://"...)
	key = append(key, strings.ToLower(r.URL.Hostname())...)
	key = append(key, ':')
	key = append(key, r.port()...)
	for _, prefix := range r.Forbidden {
		key = prefix.AppendTo(append(key, ' '))
	}
	return string(key)
}
