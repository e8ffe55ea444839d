// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 8 * time.Second
)

// isRepeatable reports whether what failed may work if it is tried again.
func isRepeatable(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if e, ok := errors.AsType[*Error](err); ok {
		switch e.Status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return false
	}
	// Whatever else happened on the way to or from the server.
	_, sent := errors.AsType[*url.Error](err)
	_, network := errors.AsType[net.Error](err)
	return sent || network || errors.Is(err, io.ErrUnexpectedEOF)
}

// repeatDelay doubles from half a second, with up to half of it taken off at
// random, so that clients that failed together do not come back together.
func repeatDelay(attempt int) time.Duration {
	wait := min(firstBackoff<<min(attempt, 10), lastBackoff)
	return wait - rand.N(wait/2) //nolint:gosec // spreads load, guards nothing
}

// repeatAfter reads the header Retry-After (RFC 9110, section 10.2.3); 0: it
// does not say.
func repeatAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// awaitRepeat waits; it returns false if the context ends, or would end, before.
func awaitRepeat(ctx context.Context, wait time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return false
	}
	select {
	case <-time.After(wait):
		return true
	case <-ctx.Done():
		return false
	}
}
