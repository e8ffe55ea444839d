// SPDX-License-Identifier: Apache-2.0

// Package endpoint decides about the endpoint of a webhook: how long an attempt
// to it is likely to take, whether it gets one now, and how many at a time. One
// set of rules for the first attempts of gateways and for the retries of the
// manager, so that one endpoint is not well in one process and hanging in the
// other.
//
// A [Tracker] is what attempts have shown. Its [State] says whose share of the
// slots an attempt takes:
//
//	from       what happens                                         to
//	Unproven   a success                                            Healthy
//	any        a timeout; an attempt is under way for SlowAfter;    Slow
//	           answers take longer than SlowAfter on average
//	any        two timeouts in a row                                Hanging
//	Slow       none of these: three quick successes after a         Healthy
//	           timeout, the slow attempts have ended
//	Hanging    an attempt ends otherwise                            Slow
//	Healthy    no success for ten minutes                           Unproven
//
// Its [Circuit] says which attempts flow:
//
//	from       what happens                                         to
//	any        Retry-After                                          Open until then, an hour at most
//	any        410                                                  Open for 30 s
//	any        a third or later failure in a row                    Open for 1 s, twice as long each time, 30 s at most
//	any        a slow attempt, with Rules.OpenIfSlow                Open for 1 s, twice as long each time, 2 min at most
//	Open       the time is over                                     HalfOpen: one attempt at a time
//	Open       a success of another process, but after a slow       HalfOpen
//	           attempt or a Retry-After
//	Open,      a quick success; while a Retry-After lasts, its      Closed
//	HalfOpen   end as well
//
// Another url or signing secret is another endpoint: Unproven, Closed.
//
// A [Quota] divides slots between states. A [Limiter] is Trackers and Quotas
// with the queue of those that wait for a slot, for a caller who wants an attempt
// at once or not at all; the runner of internal/attempt has queues of its own and
// uses the parts.
//
// What it never does: take a lock, read a clock, start a goroutine, know of
// objects or requests. Everybody may import it; it imports the standard library
// and internal/retry.
package endpoint
