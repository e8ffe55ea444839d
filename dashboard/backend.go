// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"context"
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// Backend is what pages need of the gateway in addition to the REST API. Every method
// checks the rights that the REST API would check, for the caller that Authenticate has
// put into the context. Errors that callers may see have a method Document; see
// newPageError.
type Backend interface {
	// Authenticate finds out whose a token is. The context that it returns carries
	// that caller.
	Authenticate(ctx context.Context, token string) (context.Context, Caller, error)
	// NoteOperation names the operation of a request in the access log and the metrics.
	NoteOperation(ctx context.Context, operation string)
	// May reports whether the caller has a right; no, if that cannot be found out.
	May(ctx context.Context, namespace string, right Right) bool
	// Health is the health of webhooks of a namespace, by id; of all webhooks, if no ids
	// are given. It needs the right to list webhooks; its members about deliveries need
	// the right to list those.
	Health(ctx context.Context, namespace string, ids ...string) (map[string]Health, error)
	// Settings reads the settings of a webhook that the REST API does not show: needs the
	// right to get it.
	Settings(ctx context.Context, namespace, id string) (*Settings, error)
	// Deliveries lists deliveries of a webhook: needs the right to list deliveries.
	Deliveries(ctx context.Context, namespace, id string, query DeliveryQuery) (*rest.DeliveryList, error)
	// Delivery reads one delivery: needs the right to get it.
	Delivery(ctx context.Context, namespace, id string) (*Delivery, error)
	// Backlog summarises the unfinished deliveries of a namespace: needs the right to
	// list deliveries.
	Backlog(ctx context.Context, namespace string) (*Backlog, error)
	// Subscribe returns a channel of notices without content: it gets a value when an
	// object of the topic has changed since the last value was taken. The subscriber
	// checks the rights, and calls stop.
	Subscribe(namespace string, topic Topic) (changes <-chan struct{}, stop func())
}

// Caller is an authenticated caller.
type Caller struct {
	// Name is the user name, such as system:serviceaccount:shop:orders.
	Name string
	// Namespace is that of the ServiceAccount; empty: it is none.
	Namespace string
}

// Right is a verb on a resource of this project, or on secrets.
type Right struct {
	Verb, Resource string
	// Name is that of one object; empty: any.
	Name string
}

// Topic is what a page shows: one delivery, one webhook with its deliveries, or
// (when both are empty) a whole namespace. The fields are ids.
type Topic struct{ Webhook, Delivery string }

// Health is the state of a webhook and of its latest deliveries.
type Health struct {
	LastSuccess, LastFailure *time.Time
	// Problem says why the webhook does not work as it is configured, with its
	// reason; both are empty if it does.
	Problem, Reason string
	// Skipped: the webhook is not getting deliveries, now or a moment ago, because its
	// backlog is full.
	Skipped bool
	// Waiting is how many deliveries are unfinished, Limit how many may be.
	Waiting, Limit int
	// Latest says why the newest delivery failed of those that have not succeeded;
	// empty: none did, or the caller may not list deliveries.
	Latest string
	// Succeeded and Failed count deliveries since the webhook exists, those without an
	// object too. Unsampled: its successes get none, so Recent says nothing of them.
	Succeeded, Failed int64
	Unsampled         bool
	// Recent are the latest deliveries that finished, the oldest first; nil if
	// the caller may not list deliveries.
	Recent []Outcome
}

// Outcome is the outcome of a finished delivery.
type Outcome struct {
	Succeeded bool
	// Took is how long its last attempt took.
	Took time.Duration
	// Untold is the number of preceding successes that have no object.
	Untold int
}

// Settings are the settings and the status of a webhook that the REST API does not show.
type Settings struct {
	// Delays are the waits before attempts 2, 3, …; Timeout bounds an attempt.
	Delays   []time.Duration
	Timeout  time.Duration
	Jitter   int // percent
	Deadline time.Duration
	// Refuse: a full backlog refuses the whole publish, instead of skipping this webhook.
	Refuse bool
	// SecretName is the Secret that signs; UserSecret: its owner keeps it.
	SecretName string
	UserSecret bool
	// OverlapEnd is until when the previous secret signs too; nil: no rotation.
	OverlapEnd *time.Time
	Overlap    time.Duration
	// HeldUntil is the end of a pause that the endpoint asked for by Retry-After.
	HeldUntil *time.Time
	// Succeeded, Failed, Unrecorded and Skipped count deliveries since the webhook
	// exists; LastSkipped is when it last did not get one. DeletedEarly counts failed
	// ones that were deleted before their time.
	Succeeded, Failed, Unrecorded, Skipped, DeletedEarly int64
	LastSkipped                                          *time.Time
	Conditions                                           []Condition
}

// Condition is one condition of the Webhook object.
type Condition struct {
	Type, Status, Reason, Message string
	Since                         time.Time
}

// DeliveryQuery selects deliveries of a webhook. Empty fields select all.
type DeliveryQuery struct {
	Status, Event string
	Limit         int
	Cursor        string
}

// Delivery is everything that is known of one delivery.
type Delivery struct {
	rest.DeliveryDetail

	Test        bool
	TraceParent string
	PublishedBy string
	// Reason is that of the condition Succeeded, such as WebhookSuspended, and
	// Message its text.
	Reason, Message string
	// Deadline is when it fails if it has not succeeded before; zero: unknown.
	Deadline time.Time
	// Overlapped are the attempts that two secrets signed.
	Overlapped map[int]bool
}

// Backlog is the unfinished deliveries of a namespace, and the latest failures.
type Backlog struct {
	// Oldest are unfinished deliveries, the oldest first; Failed are those that
	// failed for good, the newest first.
	Oldest, Failed []rest.Delivery
	// Count and Bytes are of all unfinished ones, with their limits.
	Count, CountLimit int
	Bytes, BytesLimit int64
}
