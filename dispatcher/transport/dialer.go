// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

const (
	// attemptDelay is how long one address is tried before the next one is tried
	// beside it (RFC 8305, section 5).
	attemptDelay = 250 * time.Millisecond
	// maxAddresses bounds how many addresses of one name are tried.
	maxAddresses = 8
	// sendBufferBytes bounds what the kernel keeps for an endpoint that does not
	// read. It counts for the memory limit of the container, too.
	sendBufferBytes = 128 << 10
)

// dialer connects to endpoints, to addresses that the policy lets pass only.
type dialer struct {
	policy   *netguard.Policy
	resolver Resolver
}

// dial looks the host up, refuses if any of its addresses is forbidden, and
// connects to one of them.
//
// A name with a public and a forbidden address is refused as a whole: such
// names are made to get around checks like this one, and which address the next
// attempt would reach is a matter of chance. Each connection is checked again
// on the very address it goes to, so that nothing rests on this lookup.
func (d *dialer) dial(ctx context.Context, host, port string, r *Request, p *progress) (net.Conn, error) {
	addrs, err := d.lookup(ctx, p, host)
	if err != nil {
		return nil, err
	}
	p.found(addrs)
	for _, addr := range addrs {
		if err := d.policy.Check(addr, r.Forbidden); err != nil {
			return nil, err
		}
	}
	p.enter(StageConnect)
	conn, err := d.connect(ctx, dialOrder(addrs, r.Attempt), port, r.Forbidden)
	if err != nil {
		return nil, err
	}
	p.end(StageConnect)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBufferBytes) // where it fails it is larger
	}
	return conn, nil
}

func (d *dialer) lookup(ctx context.Context, p *progress, host string) ([]netip.Addr, error) {
	if addr, ok := netguard.ParseAddressLiteral(host); ok {
		return []netip.Addr{addr}, nil
	}
	p.enter(StageLookup)
	addrs, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	p.end(StageLookup)
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
	}
	return addrs, nil
}

// dialOrder returns the addresses in the order in which an attempt tries them: the
// families take turns, and a later attempt begins further on, so that one address
// behind which nothing works cannot fail all of them.
func dialOrder(addrs []netip.Addr, attempt int) []netip.Addr {
	first, second := dialFamilies(addrs)
	ordered := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			ordered = append(ordered, first[i])
		}
		if i < len(second) {
			ordered = append(ordered, second[i])
		}
	}
	begin := max(attempt-1, 0) % len(ordered)
	ordered = slices.Concat(ordered[begin:], ordered[:begin])
	return ordered[:min(len(ordered), maxAddresses)]
}

// dialFamilies splits addresses into those of the first one's family and the rest.
func dialFamilies(addrs []netip.Addr) (first, second []netip.Addr) {
	for _, addr := range addrs {
		if addr.Is4() == addrs[0].Is4() {
			first = append(first, addr)
		} else {
			second = append(second, addr)
		}
	}
	return first, second
}

// connect tries one address after the other, each beside those that have neither
// connected nor failed yet, and keeps the connection that comes first.
func (d *dialer) connect(ctx context.Context, addrs []netip.Addr, port string, forbidden []netip.Prefix) (net.Conn, error) {
	if len(addrs) == 1 {
		return d.connectOne(ctx, addrs[0], port, forbidden)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		conn net.Conn
		err  error
	}
	outcomes := make(chan outcome, len(addrs))
	tried := 0
	tryNext := func() {
		addr := addrs[tried]
		tried++
		go func() {
			conn, err := d.connectOne(ctx, addr, port, forbidden)
			outcomes <- outcome{conn, err}
		}()
	}
	tryNext()
	var errs []error
	delay := time.NewTimer(attemptDelay)
	defer delay.Stop()
	for len(errs) < len(addrs) {
		select {
		case <-delay.C:
		case got := <-outcomes:
			if got.err == nil {
				slower := tried - len(errs) - 1
				go func() { // those may connect yet
					for range slower {
						if late := <-outcomes; late.conn != nil {
							_ = late.conn.Close()
						}
					}
				}()
				return got.conn, nil
			}
			errs = append(errs, got.err)
		}
		if tried < len(addrs) && ctx.Err() == nil {
			tryNext()
			delay.Reset(attemptDelay)
		} else if len(errs) == tried {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (d *dialer) connectOne(ctx context.Context, addr netip.Addr, port string, forbidden []netip.Prefix) (net.Conn, error) {
	one := net.Dialer{
		Control: func(_, address string, _ syscall.RawConn) error {
			actual, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return d.policy.Check(actual.Addr(), forbidden)
		},
	}
	return one.DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), port))
}
