// SPDX-License-Identifier: Apache-2.0

package gateway

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
	outcomeRefused  = "refused"
	outcomeFailed   = "failed"
)

// publisher takes events through the stages.
type publisher struct {
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
	metrics      *publishMetrics
	panics       *panics.Guard
}

// runStages takes an event through the stages, in this order.
func (p *publisher) runStages(ctx context.Context, s *eventScope) error {
	if err := p.check.run(ctx, s); err != nil {
		return err
	}
	s.span = p.tracer.Publish(s.event.traceParent, tracing.Event{Namespace: s.namespace, Type: s.event.eventType, ID: s.eventID, Accepted: s.accepted})
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

// publish publishes an event; every error is a failure or a bug.
func (p *publisher) publish(ctx context.Context, request publishRequest) (*publishResult, error) {
	s := newEventScope(request)
	var err error
	if panicked := p.panics.Do(panics.Event, func() { err = p.runStages(ctx, s) }); panicked != nil {
		err = panicked
	}
	s.span.End(reasonOf(err), len(s.existing))
	if err == nil {
		p.countOutcome(s)
		return &publishResult{eventID: s.eventID, deliveries: s.deliveries(), skipped: s.skipped}, nil
	}
	class := classOf(err)
	if class == failurePlatform {
		p.metrics.published(outcomeFailed)
	} else {
		p.metrics.published(outcomeRefused)
	}
	if s.eventID != "" && (s.admitted || class != failurePermanent) {
		err = &publishError{cause: err, eventID: s.eventID, deliveries: s.deliveries()}
	}
	return nil, err
}

func (p *publisher) countOutcome(s *eventScope) {
	outcome := outcomeAccepted
	if !s.hasNew && len(s.existing) > 0 {
		outcome = outcomeRepeated
	}
	p.metrics.published(outcome)
	for _, each := range s.skipped {
		p.metrics.skippedWebhook(each.reason)
		p.skipReporter.count(keyOf(each.webhook), each.reason)
	}
}

// run makes records and reports skipped deliveries until ctx ends, and then what is left of both.
func (p *publisher) run(ctx context.Context) {
	var background sync.WaitGroup
	background.Go(func() { p.record.recorder.run(ctx) })
	background.Go(func() { p.skipReporter.run(ctx) })
	background.Wait()
}
