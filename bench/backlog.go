// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/tally"
	"bbmcp.quietstack.com/webhooks/test/procstat"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	// smallEach and largeEach are deliveries for each webhook, hooksEach
	// webhooks for each namespace: all as large as the limits of the gateway
	// allow.
	smallEach, largeEach, hooksEach = 2_000, 200, 5
	largeBytes                      = 256 * kib
	mib                             = 1 << 20
	listPage                        = 5_000
	filledWithin                    = 4 * time.Minute
)

// runBacklog starts a manager with more pending deliveries than the limits of a
// cluster allow to arise, kills it among them and starts it again.
func runBacklog(ctx context.Context, r *round) (err error) {
	b, s := r.b, r.scenario("backlog")
	w, err := b.newDeployment(ctx, deploymentOptions{bare: true})
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, w.close()) }()
	backlog, err := w.fill(ctx)
	if err != nil {
		return err
	}
	options := stack.ManagerOptions{Supervise: true, Args: []string{
		"--lease-duration=10s", "--renew-deadline=8s", "--retry-period=1s", // what is measured begins with the leadership
	}}
	if w.manager, err = w.stack.StartManager(ctx, options); err != nil {
		return err
	}
	first, err := w.resumeBacklog(ctx)
	if err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	s.Set("first_start_s", first.Seconds())
	if err := pause(ctx, b.size.backlogRun); err != nil {
		return err
	}
	peak, err := procstat.ReadMemory(w.manager.Process.PID())
	if err != nil {
		return err
	}
	w.manager.Process.Stop(0)
	if err := w.manager.Restart(ctx); err != nil {
		return err
	}
	second, err := w.resumeBacklog(ctx)
	if err != nil {
		return fmt.Errorf("second start: %w", err)
	}
	filled := time.Now()
	if err := pollFor(ctx, filledWithin, "the manager to have read all", func() (bool, error) { return w.manager.HasFilled(ctx) }); err != nil {
		return err
	}
	s.Set("filled_after_s", (second + time.Since(filled)).Seconds())
	pids := map[string]int{"manager": w.manager.Process.PID(), "manager_dispatcher": w.manager.Dispatcher().PID()}
	seen, err := observeWindow(ctx, w.sink.ControlClient, healthyClass, pids, b.size.backlogRun)
	if err != nil {
		return err
	}
	again, err := procstat.ReadMemory(w.manager.Process.PID())
	if err != nil {
		return err
	}
	return w.judgeBacklog(ctx, s, backlog, seen, second, max(peak.Peak, again.Peak))
}

func (w *deployment) judgeBacklog(ctx context.Context, s *report.Scenario, backlog *backlog, seen window, resumed time.Duration, peak int64) error {
	outcome, err := w.accountForBacklog(ctx, backlog)
	if err != nil {
		return err
	}
	s.Set(report.DeliveriesPerS, float64(seen.delivered)/seen.seconds)
	s.Set("resumed_after_s", resumed.Seconds())
	s.Set("manager_rss_mib", float64(peak)/mib)
	s.Set("pending_at_start", float64(backlog.count()))
	s.Set(report.Missing, float64(outcome.Missing))
	s.Set(report.Duplicates, float64(outcome.Duplicates))
	s.AtMost("first attempt after leadership, s", resumed.Seconds(), 10)
	s.AtMost("memory of the manager at its highest, MiB", float64(peak)/mib, 600)
	s.AtMost("duplicates, with as many unsettled at the kill as may be", float64(outcome.Duplicates), slots)
	s.AtMost("deliveries missing", float64(outcome.Missing), 0)
	return nil
}

// resumeBacklog waits until the manager leads, then until the next POST arrives, and
// returns how long that took.
func (w *deployment) resumeBacklog(ctx context.Context) (time.Duration, error) {
	err := poll(ctx, "the manager to lead", func() (bool, error) {
		leads, err := w.manager.Leads(ctx)
		return leads && err == nil, nil // metrics come with the process
	})
	if err != nil {
		return 0, err
	}
	started := time.Now()
	before, err := w.sink.Totals(ctx)
	if err != nil {
		return 0, err
	}
	err = poll(ctx, "the first attempt", func() (bool, error) {
		totals, err := w.sink.Totals(ctx)
		return totals[healthyClass].Posts > before[healthyClass].Posts, err
	})
	return time.Since(started), err
}

// accountForBacklog compares what is delivered and what is still pending with what
// there was.
func (w *deployment) accountForBacklog(ctx context.Context, backlog *backlog) (outcome tally.Outcome, err error) {
	w.manager.Kill() // what is in flight ends as well
	pending, err := w.listUnfinishedDeliveries(ctx)
	if err != nil {
		return outcome, err
	}
	counts, err := w.sink.Counts(ctx, backlog.run)
	if err != nil {
		return outcome, err
	}
	for _, one := range backlog.parts {
		received := counts[one.webhook.path()]
		states := make([]tally.State, one.count)
		for i := range states {
			if !pending[one.webhook.namespaceName()+"/"+one.name(i)] {
				states[i] = tally.Accepted // it says that it is delivered, so it must be
			}
		}
		outcome = outcome.Add(tally.Compare(states, received))
	}
	return outcome, nil
}

// backlog is deliveries that are pending.
type backlog struct {
	run   int
	parts []*backlogPart
}

// backlogPart is the backlog of one webhook.
type backlogPart struct {
	webhook webhookSpec
	owner   *v1alpha1.Webhook
	bytes   int
	prefix  string
	count   int
}

func (b *backlog) count() int {
	n := 0
	for _, one := range b.parts {
		n += one.count
	}
	return n
}

func (p *backlogPart) name(i int) string { return fmt.Sprintf("dlv-%s-%024d", p.prefix, i) }

// add shares deliveries out among as many webhooks as they need.
func (b *backlog) add(name string, total, each, payload int) {
	for i := 0; total > 0; i++ {
		n := min(each, total)
		total -= n
		b.parts = append(b.parts, &backlogPart{
			webhook: webhookSpec{
				namespace: fmt.Sprintf("bench-%s-%d", name, i/hooksEach), name: fmt.Sprintf("%s-%d", name, i),
				class: healthyClass, types: []string{eventType},
			},
			prefix: fmt.Sprintf("%s-%03d", name, i), count: n, bytes: payload,
		})
	}
}
