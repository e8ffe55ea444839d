// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

// Outcomes of publishing, for the metric.
const (
	outcomeAccepted = "accepted"
	outcomeRepeated = "repeated"
	OutcomeRefused  = "refused"
	OutcomeFailed   = "failed"
)

// Publisher takes events through the stages.
type Publisher struct {
	check    *checkStage
	dedup    *dedupStage
	reserve  *reserveStage
	attempt  *attemptStage
	store    *storeStage
	record   *recordStage
	handOver *handOverStage

	skipReporter *skipReporter
	deletions    *deletionSweeper
	tracer       *tracing.Tracer
	metrics      *Metrics
	panics       *panics.Guard
}

// New makes a publisher of its stages.
func New(o Options) *Publisher {
	first := &firstAttempter{
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
		p.deletions.forget(newWebhookKey(webhook))
		p.skipReporter.forgetWebhook(webhook)
	})
	o.Store.Deliveries.OnChange(func(r *store.DeliveryEntry, gone bool) {
		if !gone {
			observeDelivery(first.limiter, r, o.Now())
		}
	})
	return p
}

// runStages takes an event through the stages, in this order.
func (p *Publisher) runStages(ctx context.Context, s *eventScope) error {
	if err := p.check.run(ctx, s); err != nil {
		return err
	}
	s.span = p.tracer.Publish(s.Event.TraceParent, tracing.Event{Namespace: s.Namespace, Type: s.Event.Type, ID: s.eventID, Accepted: s.accepted})
	unlock, err := p.dedup.lock(ctx, s)
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.dedup.run(s); err != nil {
		return err
	}
	targets, err := p.reserve.run(s)
	if err != nil {
		return err
	}
	defer releaseTargets(targets) // including those never begun
	attempted, durable := p.attempt.start(ctx, s, targets)
	if len(attempted) == 0 {
		return p.store.run(ctx, s, durable)
	}
	awaitStored := p.store.runInBackground(ctx, s, durable)
	p.attempt.await(s, attempted)
	err = awaitStored()
	left := p.record.run(s, attempted)
	if err != nil {
		p.handOver.abandon(left)
		return err
	}
	return p.handOver.run(ctx, s, left)
}

// Publish publishes an event; every error is a failure or a bug.
func (p *Publisher) Publish(ctx context.Context, request Request) (*Result, error) {
	s := newEventScope(request)
	var err error
	if panicked := p.panics.Do(panics.Event, func() { err = p.runStages(ctx, s) }); panicked != nil {
		err = panicked
	}
	s.span.End(ReasonOf(err), len(s.existing))
	if err == nil {
		p.countOutcome(s)
		return &Result{EventID: s.eventID, Deliveries: s.deliveries(), Skipped: s.skipped}, nil
	}
	class := ClassOf(err)
	if class == FailurePlatform {
		p.metrics.Published(OutcomeFailed)
	} else {
		p.metrics.Published(OutcomeRefused)
	}
	if s.eventID != "" && (s.admitted || class != FailurePermanent) {
		err = &IncompleteError{Cause: err, EventID: s.eventID, Deliveries: s.deliveries()}
	}
	return nil, err
}

func (p *Publisher) countOutcome(s *eventScope) {
	outcome := outcomeAccepted
	if !s.hasNew && len(s.existing) > 0 {
		outcome = outcomeRepeated
	}
	p.metrics.Published(outcome)
	for _, each := range s.skipped {
		p.metrics.skippedWebhook(each.Reason)
		p.skipReporter.count(newWebhookKey(each.Webhook), each.Reason)
	}
}

// Run makes records and reports skipped deliveries until ctx ends, and then what is left of both.
func (p *Publisher) Run(ctx context.Context) {
	var background sync.WaitGroup
	background.Go(func() { p.record.recorder.run(ctx) })
	background.Go(func() { p.skipReporter.run(ctx) })
	background.Wait()
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
