// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

// sender makes one attempt; see dispatcher.Client.
type sender interface {
	Start(request dispatcher.Request, done func(dispatcher.Result, error))
}

// Options are the dependencies and settings of a publisher.
type Options struct {
	// Client reaches objects with the gateway's own rights.
	Client client.Client
	Sender sender
	// Forbidden are the API server's own addresses.
	Forbidden func() []netip.Prefix
	// Namespaces are the namespaces that the gateway serves; empty: all.
	Namespaces []string
	// Limits bound the backlog.
	Limits store.Limits
	// First configures first attempts.
	First FirstAttempts
	// Skipped is the ConfigMap in which skipped deliveries are reported to the manager;
	// without a namespace nothing is reported. Replica is this gateway's key in it.
	Skipped client.ObjectKey
	Replica string

	// Store is what is in memory. The publisher subscribes to it.
	Store *store.Store
	// RequireRight returns nil if the caller has a right.
	RequireRight func(ctx context.Context, caller *auth.Caller, right auth.Right) error

	// Tracer makes a span for each event; nil: none.
	Tracer  *tracing.Tracer
	Metrics *Metrics
	Panics  *panics.Guard
	Logger  *slog.Logger
	Now     func() time.Time
	// Random makes ids: crypto/rand.Reader.
	Random io.Reader
}

// New makes a publisher of its stages.
func New(o Options) *Publisher {
	first := &attempter{
		sender: o.Sender, secrets: signingsecret.NewReader(o.Client, o.Now), wait: o.First.Wait,
		limiter:   newLimiter(o.First.Slots, o.First.PerWebhook, o.First.PerDestination, o.First.Wait),
		forbidden: o.Forbidden, metrics: o.Metrics, panics: o.Panics, logger: o.Logger, now: o.Now,
	}
	objects := &deliveryStore{
		client: o.Client, index: o.Store.Deliveries, writes: newWriteBudget(o.Limits, o.Now), timeouts: writetimeout.New(o.Now),
		terminating: newTerminatingNamespaces(o.Now), now: o.Now,
	}
	window, unstored, throttles := newDedupWindow(o.First.Dedup, o.Now), newUnstoredAttempts(o.Now), newStoreThrottles(first.limiter, o.Now)
	stored := &storeStage{objects: objects, throttles: throttles, panics: o.Panics}
	recorded := &recordStage{window: window, recorder: newRecorder(o.First.Records, objects.createRecord, o.Store.Deliveries.IsControllerBehind, objects.writes, o.Metrics, o.Panics, o.Now)}
	p := &Publisher{
		check: &checkStage{
			requireRight: o.RequireRight, namespaces: o.Namespaces, eventTypes: o.Store.EventTypes,
			eventIDs: &eventIDs{now: o.Now, random: o.Random}, now: o.Now,
		},
		dedup:    &dedupStage{webhooks: o.Store.Webhooks, deliveries: o.Store.Deliveries, window: window, unstored: unstored},
		reserve:  &reserveStage{limits: o.Limits, deliveries: o.Store.Deliveries, writes: objects.writes, throttles: throttles, terminating: objects.terminating},
		attempt:  &attemptStage{attempter: first, deliveries: o.Store.Deliveries},
		store:    stored,
		record:   recorded,
		handOver: &handOverStage{store: stored, record: recorded, attempter: first, unstored: unstored, panics: o.Panics},
		skipReporter: &skipReporter{
			client: o.Client, object: o.Skipped, replica: o.Replica,
			panics: o.Panics, logger: o.Logger, now: o.Now, unreported: map[skipped.Webhook]skipped.Count{},
		},
		deletions: &deletionSweeper{
			webhooks: o.Store.Webhooks, secrets: first.secrets, limiter: first.limiter, recorder: recorded.recorder, unstored: unstored,
		},
		tracer: o.Tracer, metrics: o.Metrics, panics: o.Panics,
	}
	o.Store.Webhooks.OnDelete(func(webhook *v1alpha1.Webhook) {
		p.deletions.forget(keyOf(webhook))
		p.skipReporter.forgetWebhook(webhook)
	})
	o.Store.Deliveries.OnChange(func(r *store.DeliveryEntry, gone bool) {
		if !gone {
			observeDelivery(first.limiter, r, o.Now())
		}
	})
	return p
}

// Sweep drops the state of deleted webhooks. Call it now and then.
func (p *Publisher) Sweep() { p.deletions.sweep() }

// AwaitSettled waits until every first attempt that was handed over is settled.
func (p *Publisher) AwaitSettled() { p.attempt.attempter.unsettled.Wait() }

// DefaultWait is how long a publisher without a preference waits for first attempts; 0: none are made.
func (p *Publisher) DefaultWait() time.Duration { return p.attempt.attempter.wait }

// CheckBytes refuses an event whose namespace has used up its bytes.
func (p *Publisher) CheckBytes(namespace string) error { return p.reserve.writes.checkBytes(namespace) }

// WriteTimeout is how long one write in a namespace may take at present.
func (p *Publisher) WriteTimeout(namespace string) time.Duration {
	return p.store.objects.timeouts.Timeout(namespace)
}

// CountUnreported is how many successes of a webhook no record has carried yet.
func (p *Publisher) CountUnreported(webhook types.UID) int64 {
	return p.record.recorder.countUnreported(webhook)
}
