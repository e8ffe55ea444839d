// SPDX-License-Identifier: Apache-2.0

// Package health says whether a webhook's endpoint works: Active, Failing or
// Disabled, from the outcomes of its deliveries.
//
// It counts facts, never their absence: a webhook without news keeps its state.
// Facts may arrive late, twice or from several sources; a fact that comes late
// counts for the time at which it happened. Test events are no facts.
//
// It is pure: the time is an argument. It imports the standard library only,
// and every package of this module may import it.
package health
