// SPDX-License-Identifier: Apache-2.0

// Package backlog decides how what waits for a webhook outside the API server is
// sent: its [Lot], in the order in which it was accepted, by one leader.
//
// The state of a lot with entries is derived from what is known of its webhook and
// of its attempts; nothing of it is stored:
//
//	Held       suspended, disabled, without a secret: [Lot.Hold]
//	Waiting    the endpoint said Retry-After
//	Parked     five attempts in a row got no answer, 429 or 503, or fewer than
//	           five of the last twenty succeeded: one probe at a time, after 5 s,
//	           then after half as long again each time, 30 s at most
//	Draining   else: as many attempts at a time as a ramp allows
//
//	from       to         when
//	Draining   Parked     the attempts above
//	Parked     Draining   a probe succeeds; one attempt at a time at first
//	any        Waiting    Retry-After, until then; the next attempt goes alone
//	any        Held       [Lot.Hold]
//	Held       any        [Lot.Release]
//
// An attempt that fails while others succeed is about its delivery: the webhook's
// retry policy goes on with it ([Retry]). One that fails while nothing succeeds is
// about the endpoint: its entry stays and has used no attempt. A probe uses none.
//
// The position of a lot is what was trimmed from the log, by whole messages. Whoever
// leads next begins there and has no other memory, so what was sent beyond it goes out
// again: at most [MaxUntrimmed] entries after the oldest unsettled one.
//
// Messages of the log hold frames: [Encode], [Decode].
//
// What it never does: take a lock, read a clock, start a goroutine, know of objects,
// requests or the log's engine. Everybody may import it.
package backlog
