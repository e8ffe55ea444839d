// SPDX-License-Identifier: Apache-2.0

package dispatcher

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

// Resolver looks up the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	// fallbackDelay is how long the first address family is tried alone
	// (RFC 8305, section 5 asks for 150 to 250 ms; package net waits 300 ms).
	fallbackDelay = 250 * time.Millisecond
	// maxAddresses bounds how many addresses of one name are tried.
	maxAddresses = 8
	// minPerAddress is the least time for one address while others remain.
	minPerAddress = 2 * time.Second
)

// dialer connects to endpoints, to addresses that the policy lets pass only.
type dialer struct {
	policy    *netguard.Policy
	forbidden []netip.Prefix
	resolver  Resolver
}

// DialContext looks the host up, refuses if any of its addresses is forbidden,
// and connects to one of them.
//
// A name with a public and a forbidden address is refused as a whole: such
// names are made to get around checks like this one, and which address the next
// attempt would reach is a matter of chance. Each connection is checked again
// on the very address it goes to, so that nothing rests on this lookup.
func (d *dialer) DialContext(ctx context.Context, _, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	attempt := traceFrom(ctx)
	addrs, err := d.lookup(ctx, attempt, host)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		if err := d.policy.Check(addr, d.forbidden); err != nil {
			return nil, err
		}
	}
	attempt.enter(stageConnect)
	conn, err := d.connect(ctx, addrs[:min(len(addrs), maxAddresses)], port)
	if err != nil {
		return nil, err
	}
	attempt.endConnect()
	return conn, nil
}

func (d *dialer) lookup(ctx context.Context, attempt *trace, host string) ([]netip.Addr, error) {
	if addr, ok := netguard.ParseLiteral(host); ok {
		return []netip.Addr{addr}, nil
	}
	attempt.enter(stageLookup)
	addrs, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	attempt.endLookup()
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
	}
	return addrs, nil
}

// connect tries the family of the first address and, a little later or once
// that has failed, the other one, and keeps the connection that comes first.
func (d *dialer) connect(ctx context.Context, addrs []netip.Addr, port string) (net.Conn, error) {
	first, second := byFamily(addrs)
	if len(second) == 0 {
		return d.connectInTurn(ctx, first, port)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		conn net.Conn
		err  error
	}
	outcomes := make(chan outcome, 2)
	try := func(addrs []netip.Addr) {
		conn, err := d.connectInTurn(ctx, addrs, port)
		outcomes <- outcome{conn, err}
	}
	go try(first)
	delay := time.NewTimer(fallbackDelay)
	defer delay.Stop()
	var errs []error
	for running, fellBack := 1, false; running > 0; {
		select {
		case <-delay.C:
		case got := <-outcomes:
			running--
			if got.err == nil {
				if running > 0 {
					go func() { // the slower one, should it connect yet
						if late := <-outcomes; late.conn != nil {
							_ = late.conn.Close()
						}
					}()
				}
				return got.conn, nil
			}
			errs = append(errs, got.err)
		}
		if !fellBack {
			fellBack = true
			running++
			go try(second)
		}
	}
	return nil, errors.Join(errs...)
}

// connectInTurn tries one address after the other, each with a fair part of the
// time that is left.
func (d *dialer) connectInTurn(ctx context.Context, addrs []netip.Addr, port string) (net.Conn, error) {
	var firstErr error
	for i, addr := range addrs {
		conn, err := d.connectOne(ctx, addr, port, len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		if firstErr == nil {
			firstErr = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, firstErr
}

func (d *dialer) connectOne(ctx context.Context, addr netip.Addr, port string, remaining int) (net.Conn, error) {
	one := net.Dialer{
		Timeout: MaxTimeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			actual, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return d.policy.Check(actual.Addr(), d.forbidden)
		},
	}
	if deadline, ok := ctx.Deadline(); ok && remaining > 1 {
		one.Timeout = max(time.Until(deadline)/time.Duration(remaining), minPerAddress)
	}
	return one.DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), port))
}

// byFamily splits addresses into those of the first one's family and the rest.
func byFamily(addrs []netip.Addr) (first, second []netip.Addr) {
	for _, addr := range addrs {
		if addr.Is4() == addrs[0].Is4() {
			first = append(first, addr)
		} else {
			second = append(second, addr)
		}
	}
	return slices.Clip(first), second
}
