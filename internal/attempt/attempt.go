// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"errors"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

const (
	// prepareTimeout bounds Prepare.
	prepareTimeout = 10 * time.Second
	// sendGrace is how much longer than the attempt's own timeout the dispatcher
	// may take to answer before its result counts as lost.
	sendGrace = 5 * time.Second
	// maxLosses is how many losses of one job are a failed attempt.
	maxLosses = 3
	// unsent is the time of sending of what has not been sent.
	unsent = time.Duration(-1)
)

// attempt is one attempt that is under way.
type attempt struct {
	job         *trackedJob
	destination *destination
	state       endpoint.State // whose slots it holds
	tracked     endpoint.Attempt
	sent        time.Duration // when it was handed to the sender; unsent while it is being prepared
	wait        time.Duration // before it is prepared
	probe       bool          // may be sent although writes have been failing
	webhookNode node[attempt] // in webhook.attempts
	ageNode     node[attempt] // in underWay.recent
}

// run makes an attempt. It has a goroutine of its own.
func (a *attempt) run(ctx context.Context, r *Runner) {
	job := a.job
	if a.wait > 0 {
		select {
		case <-time.After(a.wait):
		case <-r.life.closing:
		}
	}
	prepareCtx, cancel := context.WithTimeout(ctx, prepareTimeout)
	request, note, err := job.prepare(prepareCtx)
	cancel()
	if err != nil {
		r.recordEnding(a, ending{kind: notPrepared, outcome: Outcome{Number: int(job.number), Note: note, Err: err}})
		return
	}
	if !r.handOver(a) {
		return
	}
	limit := max(time.Duration(job.timeout)*time.Millisecond, request.Timeout) + sendGrace
	sendCtx, cancel := context.WithTimeout(ctx, limit)
	began := time.Now()
	result, err := r.options.Sender.Send(sendCtx, request)
	cancel()
	switch {
	case err == nil:
		r.recordEnding(a, ending{kind: answered, outcome: Outcome{Number: int(job.number), Result: result, Note: note}, test: request.Test})
	case errors.Is(err, dispatcher.ErrUnavailable):
		r.recordEnding(a, ending{kind: unavailable})
	default:
		r.recordEnding(a, ending{kind: lost, outcome: Outcome{Number: int(job.number), Note: note, Result: dispatcher.Result{
			StartedAt: began,
			Duration:  time.Since(began),
			Reason:    dispatcher.ReasonDispatcherLost,
			Message:   "the dispatcher ended while it held the attempt, three times",
		}}})
	}
}

// learn applies what a result says about the endpoint, unless that has changed. The
// end of a hold is a time of the wall clock.
func (a *attempt) learn(s *scheduler, e *ending, wall time.Time, now time.Duration) {
	h, evidence := a.job.webhook, e.outcome.Result.Evidence()
	evidence.Gone = evidence.Gone && !e.test // a test event disables nothing
	current := h.tracker.IsCurrent(a.tracked)
	if current {
		h.tracker.Observe(a.tracked, evidence, now-a.sent, &s.rules, wall)
		if until := h.tracker.HeldUntil(); until.After(wall) {
			s.holds.hold(h, until, now+until.Sub(wall))
		}
	}
	s.updateWebhook(h, now)
	if current {
		s.moveOutcomeSlot(a.job, h.state)
	}
}
