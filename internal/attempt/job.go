// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// Job is one attempt that is due.
type Job struct {
	// UID is the delivery's. One UID is never under way twice.
	UID types.UID
	// Delivery is what Wake is called with.
	Delivery types.NamespacedName
	// Webhook is the name of the webhook, in the delivery's namespace.
	Webhook string
	// Destination is the host:port the attempt goes to. A webhook that shows up
	// with another destination starts afresh: nothing is known about it yet.
	Destination string
	// Number is the number of the attempt, from 1.
	Number int
	// Timeout is how long the attempt may take, as told to the dispatcher. The
	// runner waits a little longer than that and than Request.Timeout before it
	// takes the dispatcher for lost.
	Timeout time.Duration
	// Prepare reads payload, URL and secret when the attempt starts. Its note is
	// handed back in the outcome. An error means that no attempt took place. The
	// context ends after 10 s.
	Prepare func(ctx context.Context) (request dispatcher.Request, note any, err error)
}

// Outcome is what came of a job.
type Outcome struct {
	// Number is that of the job.
	Number int
	// Result is set unless Err is.
	Result dispatcher.Result
	// Note is what Prepare handed back.
	Note any
	// Err is the error of Prepare: no attempt was made and none is counted.
	Err error
}

// attempts is how many attempts have been made once this outcome is there.
func (o Outcome) attempts() int {
	if o.Err != nil {
		return o.Number - 1
	}
	return o.Number
}

// Phase is how far the runner is with a delivery.
type Phase uint8

const (
	// None: the runner holds nothing that the cache does not show.
	None Phase = iota
	// Queued: the job waits for its turn, or to be repeated after a loss.
	Queued
	// InFlight: the attempt is being made.
	InFlight
	// Finished: the outcome waits to be written.
	Finished
	// Written: the outcome was written; the cache has not caught up.
	Written
)

// String returns the name of the phase.
func (p Phase) String() string {
	switch p {
	case None:
		return "None"
	case Queued:
		return "Queued"
	case InFlight:
		return "InFlight"
	case Finished:
		return "Finished"
	case Written:
		return "Written"
	}
	return "Unknown"
}

// View is what the runner knows about a delivery.
type View struct {
	Phase Phase
	// Attempts is how many attempts are known to have been made. A cached object
	// that shows fewer is stale. It can stay set for a while in phase None.
	Attempts int
	// Outcome is set in phase Finished only.
	Outcome Outcome
}
