// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"sync"

	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
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
		err = &Error{Cause: err, EventID: s.eventID, Deliveries: s.deliveries()}
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
		p.skipReporter.count(keyOf(each.Webhook), each.Reason)
	}
}

// Run makes records and reports skipped deliveries until ctx ends, and then what is left of both.
func (p *Publisher) Run(ctx context.Context) {
	var background sync.WaitGroup
	background.Go(func() { p.record.recorder.run(ctx) })
	background.Go(func() { p.skipReporter.run(ctx) })
	background.Wait()
}
