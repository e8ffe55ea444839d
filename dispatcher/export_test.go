// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"context"
	"net/netip"
	"strconv"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

// ShowAllAnswers makes a Sender show answers from allow-listed addresses too:
// tests have no other.
func ShowAllAnswers(s *Sender) { s.shown = func(netip.Addr) bool { return true } }

// CloseIdle makes the next attempt open a connection of its own.
func CloseIdle(s *Sender) { s.transports.closeIdle() }

// ConnectUnchecked connects as the dialer does after its lookup.
func ConnectUnchecked(ctx context.Context, policy *netguard.Policy, addr netip.Addr, port int) error {
	conn, err := (&dialer{policy: policy}).connect(ctx, []netip.Addr{addr}, strconv.Itoa(port))
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// UsesProxy reports whether requests may go through a proxy.
func UsesProxy(s *Sender) bool { return s.transports.get(nil).Proxy != nil }
