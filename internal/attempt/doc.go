// SPDX-License-Identifier: Apache-2.0

// Package attempt decides when a delivery attempt that is due starts, and keeps
// its outcome until that is acknowledged.
//
// A caller submits a [Job]; the [Runner] starts it when it may, sends it
// through a [Sender], keeps the [Outcome] and wakes the caller, who writes the
// outcome and says so with [Runner.Acknowledge].
//
// The scheduler decides which job starts next and has no goroutine, clock or lock;
// underWay has the attempts that were started; outcomes are kept until they are
// acknowledged. Runner is the lock and the loop around the three.
//
// Three promises shape the code:
//
//   - Bounded. At most Options.Unsettled attempts are unsettled: under way, or
//     their outcome not acknowledged. A crash repeats no more deliveries than
//     that, beside those of namespaces that take no writes.
//   - Isolating. Slow and hanging webhooks share at most half of all slots,
//     hanging ones at most an eighth; these and the unproven ones together have
//     three quarters. The same shares hold within each destination. An endpoint
//     counts as slow only after SlowAfter: healthy webhooks that begin to hang at
//     the same moment can take what is left until then.
//   - Fair. Namespaces take turns, then the webhooks of a namespace, then the
//     jobs of a webhook in the order they came.
//
// Every method but Run and Drain returns at once. A queued job costs memory but
// no goroutine; an attempt under way costs one.
//
// What it never does: read or write an object of the API server, decide about
// retries, drop a job or an outcome on its own, run two attempts of one
// delivery at a time.
//
// The delivery controller may import this package. It imports the standard
// library, internal/endpoint, the types of apimachinery and those of dispatcher.
package attempt
