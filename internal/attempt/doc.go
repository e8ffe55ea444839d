// SPDX-License-Identifier: Apache-2.0

// Package attempt decides when a delivery attempt that is due starts, and keeps
// what came of it until that is written down.
//
// A caller submits a [Job]; the [Runner] starts it when it may, sends it
// through a [Sender], keeps the [Outcome] and wakes the caller, who writes the
// outcome and says so with [Runner.Written].
//
// Three promises shape the code:
//
//   - Bounded. Attempts whose outcome the API server has not acknowledged are
//     unsettled, and there are never more than Options.Unsettled of them. This
//     is how many deliveries a crash can repeat, beside those of namespaces that
//     take no writes: nothing starts there, and what had ended is let keep no slot.
//   - Isolating. Webhooks are proven, unproven, slow or hanging. Slow and hanging
//     ones share at most half of all slots, of which hanging ones at most an
//     eighth of all; unproven ones have a quarter, these three kinds together three
//     quarters. The same shares hold within each destination. What this cannot do: know
//     that an endpoint hangs before SlowAfter has passed. Proven webhooks that
//     begin to hang at the same moment can take what is left, so those that
//     already hold a slot get another only from the first half; it takes more
//     webhooks than half the slots to shut out others until timeouts end that.
//   - Fair. Namespaces take turns, then the webhooks of a namespace, then the
//     jobs of a webhook in the order they came.
//
// Every method but Run and Drain returns at once. A queued job costs memory but
// no goroutine; an attempt in flight costs one.
//
// What it never does: read or write an object of the API server, decide about
// retries, drop a job or an outcome on its own, run two attempts of one
// delivery at a time.
//
// The delivery controller and the gateway may import this package. It imports
// the standard library, the types of apimachinery and those of dispatcher.
package attempt
