// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// Sender makes one attempt. An error that wraps dispatcher.ErrUnavailable says
// that nothing was handed over; with any other error the result is lost.
type Sender interface {
	Send(context.Context, dispatcher.Request) (dispatcher.Result, error)
}

// Options say how a Runner works. Values that are not positive take the default.
type Options struct {
	// Sender makes the attempts. Required.
	Sender Sender
	// Wake is called, without a lock held, when an outcome waits to be written.
	Wake func(types.NamespacedName)
	// WakeSlow is called in place of Wake for outcomes of slow webhooks, of which
	// many can end at the same moment; nil: Wake is.
	WakeSlow func(types.NamespacedName)
	// Gate, unless nil, must be true for an attempt to start, as while the lease
	// is fresh. It must be cheap, safe for concurrent use and must not call the
	// Runner.
	Gate func() bool
	// Throttle, unless nil, is true while the API server has something else to do
	// that is urgent, as to list what there is to deliver: a few attempts at a time
	// start then, beside those that hang. It must be as Gate.
	Throttle func() bool
	// Unsettled is the number of slots (default 512).
	Unsettled int
	// PerWebhook is how many attempts of one webhook may be under way (32).
	PerWebhook int
	// PerDestination is how many attempts may be under way to one host:port (64).
	PerDestination int
	// SlowAfter is how long an attempt may take before it counts as slow (1s).
	SlowAfter time.Duration
	// StallAfter is for how long writes of a namespace, or of all, may fail before
	// nothing of it starts (2s).
	StallAfter time.Duration
	// LostBackoff is how long a lost job waits before it is repeated (1s).
	LostBackoff time.Duration
}

func optionOrDefault[T int | time.Duration](value, standard T) T {
	if value <= 0 {
		return standard
	}
	return value
}
