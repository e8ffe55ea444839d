// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/internal/panics"
)

// drainPause is the wait between two rounds of writing results while draining.
const drainPause = 200 * time.Millisecond

// drainWorkers is how many results are written at a time while draining.
const drainWorkers = 8

// Drain ends the work of this process without losing or repeating a delivery: no
// attempt starts, those under way end, and every outcome is written. The controller
// need not run; its caches must still be there. If ctx ends or grace is over first,
// the error says how many outcomes are left. The manager drains when it stops and the
// process drains again; grace begins with the first, so that the process ends within
// the grace period of its Pod.
func (r *DeliveryReconciler) Drain(ctx context.Context, grace time.Duration) error {
	ctx, cancel := context.WithDeadline(ctx, r.drainDeadline(grace))
	defer cancel()
	r.draining.Lock()
	defer r.draining.Unlock()
	left, err := r.Runner.Drain(ctx)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "attempts are still under way; the next leader may repeat them", "unsettled", len(left))
	}
	for {
		if len(left) == 0 {
			return nil
		}
		failure := r.drainOutcomes(ctx, left)
		left, _ = r.Runner.Drain(ctx) // nothing is under way: it only tells what is left
		if len(left) == 0 {
			return nil
		}
		if failure != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(failure, "write results while draining; trying again", "unsettled", len(left))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d results are not written: %w", len(left), ctx.Err())
		case <-time.After(drainPause):
		}
	}
}

// drainDeadline is when the first drain is to be over.
func (r *DeliveryReconciler) drainDeadline(grace time.Duration) time.Time {
	until := time.Now().Add(grace)
	if r.drainEnd.CompareAndSwap(nil, &until) {
		return until
	}
	return *r.drainEnd.Load()
}

// drainOutcomes makes one pass over each delivery and returns one of the errors.
func (r *DeliveryReconciler) drainOutcomes(ctx context.Context, deliveries []types.NamespacedName) error {
	var passes errgroup.Group
	passes.SetLimit(drainWorkers)
	for _, key := range deliveries {
		passes.Go(func() error {
			var err error
			panicked := r.Panics.Do(panics.Delivery, func() { _, err = r.Reconcile(ctx, reconcile.Request{NamespacedName: key}) })
			return cmp.Or(panicked, err)
		})
	}
	return passes.Wait()
}

// drainer drains when the manager is asked to stop, before the lease is
// released.
type drainer struct {
	reconciler *DeliveryReconciler
	grace      time.Duration
}

// Start implements manager.Runnable.
func (d drainer) Start(ctx context.Context) error {
	<-ctx.Done()
	return d.reconciler.Drain(context.WithoutCancel(ctx), d.grace)
}
