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

// Ack says what became of the attempts of a delivery. The zero kind, neither
// Cached nor Dropped nor Gone, is a status that the API server took: it frees the
// slot of an outcome that it includes, and the number is remembered until the cache
// shows it; if it is final, for 15 minutes at most.
type Ack struct {
	// Attempts is how many attempts the status shows.
	Attempts int
	// Final tells that no attempt follows by itself.
	Final bool
	// Cached: the cache shows these attempts. A job that waits to make one of them,
	// because another process made it, is withdrawn.
	Cached bool
	// Dropped: the outcome will not be written, as another process has written it, or
	// no attempt was made. An attempt that was made is not made again for a minute.
	Dropped bool
	// Gone: the object was deleted. A queued job is withdrawn, an outcome dropped, and
	// that of an attempt under way is dropped when it ends, without a call of Wake.
	Gone bool
}

// WebhookChange says why what was learned about the endpoint of a webhook counts no
// more. The zero one: the webhook was changed or resumed, so its attempts start one
// by one until one succeeds.
type WebhookChange struct {
	// Judged: the webhook was disabled, or enabled again. An answer of 410 from before
	// holds nothing any more.
	Judged bool
	// Destination is the host:port of a new endpoint, maybe the same: nothing is known
	// about it, and queued jobs need not wait for what the old one asked for.
	Destination string
	// Gone: the webhook was deleted. It is dropped once nothing of it is queued or
	// under way. Queued jobs stay.
	Gone bool
}

// WriteResult is how the write of a delivery's status went.
type WriteResult uint8

const (
	// WriteTaken: the API server took it.
	WriteTaken WriteResult = iota
	// WriteConflicted: the API server has answered, and says nothing about other writes,
	// as where another process had written the status.
	WriteConflicted
	// WriteRefused: the API server has answered, and did not take it.
	WriteRefused
	// WriteUnanswered: it failed, or took too long.
	WriteUnanswered
	// WriteUnreachable: the API server could not be reached, for any namespace.
	WriteUnreachable
)
