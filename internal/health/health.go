// SPDX-License-Identifier: Apache-2.0

package health

import "time"

// DefaultDisableAfter is how long an endpoint may fail before its webhook is
// disabled.
const DefaultDisableAfter = 120 * time.Hour

// AttemptsFailingAfter is how long attempts must have failed without a success
// between, counted from the beginning of the first of them, for the endpoint to
// count as unhealthy although no delivery has failed for good yet. It is longer
// than a restart of an endpoint should take and than the first two waits of the
// default policy, and short enough that people hear of it within 30 s.
const AttemptsFailingAfter = 20 * time.Second

// recent is how young the latest failure must be for a webhook to be disabled:
// whoever comes back after a long pause does not judge by old news.
const recent = 24 * time.Hour

// State is the health of a webhook. The values are those of its status.
type State string

// The states.
const (
	// Active: no failure since the latest success.
	Active State = "Active"
	// Failing: a delivery has failed for good and none has succeeded since.
	Failing State = "Failing"
	// Disabled: nothing is created for the webhook until it is enabled again.
	Disabled State = "Disabled"
)

// Outcome is how a delivery ended. One that is still retried has none yet.
type Outcome int

// The outcomes.
const (
	// Succeeded: an attempt got a 2xx.
	Succeeded Outcome = iota + 1
	// Failed: the delivery failed for good.
	Failed
	// Gone: the endpoint answered 410. It is a failure as well.
	Gone
)

// Facts are what is known of a webhook's deliveries. The zero value knows
// nothing. Times that are zero have not happened.
type Facts struct {
	// LastSuccess and LastFailure are the latest of each.
	LastSuccess, LastFailure time.Time
	// FirstFailure is the earliest failure known of since the latest success
	// and since EnabledAt; zero if there is none.
	FirstFailure time.Time
	// GoneAt is when the endpoint last answered 410.
	GoneAt time.Time
	// EnabledAt is when the webhook was last enabled again: failures up to then
	// no longer count.
	EnabledAt time.Time
}

// Observe adds one delivery that ended at the time given.
func Observe(f Facts, outcome Outcome, at time.Time) Facts {
	switch outcome {
	case Succeeded:
		return Merge(f, Facts{LastSuccess: at})
	case Failed:
		return Merge(f, Facts{LastFailure: at, FirstFailure: at})
	case Gone:
		return Merge(f, Facts{LastFailure: at, FirstFailure: at, GoneAt: at})
	default:
		return f
	}
}

// Merge joins what two sources know of one webhook. The order does not matter,
// and neither does it to hear the same twice.
//
// One thing can be lost: when a success arrives late and falls between failures
// that were known before, the failure next after it may have been neither the
// first nor the last of them. FirstFailure is then later than the truth until
// that failure is heard of again, never earlier; so a webhook may be disabled
// late, never early.
func Merge(a, b Facts) Facts {
	m := Facts{
		LastSuccess: later(a.LastSuccess, b.LastSuccess),
		LastFailure: later(a.LastFailure, b.LastFailure),
		GoneAt:      later(a.GoneAt, b.GoneAt),
		EnabledAt:   later(a.EnabledAt, b.EnabledAt),
	}
	since := m.CountsSince()
	for _, t := range []time.Time{a.FirstFailure, b.FirstFailure, a.LastFailure, b.LastFailure} {
		if t.After(since) && (m.FirstFailure.IsZero() || t.Before(m.FirstFailure)) {
			m.FirstFailure = t
		}
	}
	return m
}

// Enable starts afresh: failures and answers of 410 up to at no longer count,
// however late they are heard of. Evaluate then takes Active as the state
// before.
func Enable(f Facts, at time.Time) Facts {
	return Merge(f, Facts{EnabledAt: at})
}

// Evaluate returns the state that follows from prev and what is known at now.
// disableAfter is how far apart the first and the latest failure without a
// success between must lie for the webhook to be disabled; 0 is never, and a
// 410 disables all the same.
//
// Disabled stays Disabled whatever happens: only Enable and Active as prev lead
// out of it. Failing stays Failing until a success is known or Enable was
// called. The state changes by what is observed and not by waiting: there is no
// need to look again later. A failure at the very moment of a success counts as
// before it.
func Evaluate(prev State, f Facts, disableAfter time.Duration, now time.Time) State {
	since := f.CountsSince()
	failing := f.LastFailure.After(since)
	switch {
	case prev == Disabled:
		return Disabled
	case f.GoneAt.After(f.EnabledAt):
		return Disabled
	case failing && disableAfter > 0 &&
		f.LastFailure.Sub(f.firstFailure()) >= disableAfter &&
		now.Sub(f.LastFailure) < recent:
		return Disabled
	case failing:
		return Failing
	case prev == Failing && since.IsZero():
		return Failing
	default:
		return Active
	}
}

// AttemptsFailing reports whether attempts have failed for too long: since is when
// the earliest failed one began of the deliveries that are not over; zero: there
// is none.
func AttemptsFailing(f Facts, since, now time.Time) bool {
	return since.After(f.CountsSince()) && now.Sub(since) >= AttemptsFailingAfter
}

// CountsSince is the moment up to which failures do not count.
func (f Facts) CountsSince() time.Time { return later(f.LastSuccess, f.EnabledAt) }

// firstFailure is FirstFailure for Facts that were put together by hand, which
// may lack it or hold one that no longer counts.
func (f Facts) firstFailure() time.Time {
	if f.FirstFailure.After(f.CountsSince()) {
		return f.FirstFailure
	}
	return f.LastFailure
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
