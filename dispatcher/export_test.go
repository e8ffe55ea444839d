// SPDX-License-Identifier: Apache-2.0

package dispatcher

import "net/netip"

// ShowAllAnswers makes a Sender show answers from allow-listed addresses too:
// tests have no other.
func ShowAllAnswers(s *Sender) { s.mayShow = func(netip.Addr) bool { return true } }

// CloseIdle makes the next attempt open a connection of its own.
func CloseIdle(s *Sender) { s.transport.Close() }
