// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// Outcomes go first: each holds one of the bounded unsettled places. All
	// else is equal; the default of controller-runtime would keep what was there
	// at the start behind new deliveries for ever.
	priorityOutcome = 100
	priorityNormal  = 0

	// platformRetryMin and platformRetryMax bound the wait after an API request failed.
	platformRetryMin = 50 * time.Millisecond
	platformRetryMax = 2 * time.Second

	// heldRetry is the wait after an attempt found itself held when it started.
	heldRetry = 250 * time.Millisecond
)

// DeliveryReconciler takes each WebhookDelivery from its creation to Succeeded
// or Failed. It is the only writer of their status, but for the gateway's
// hand-over (spec.notBefore).
type DeliveryReconciler struct {
	// Deliveries reads deliveries from a cache that is filled after leadership
	// was won, so that it shows all that a former leader wrote.
	Deliveries cache.Cache
	// Client reads Webhooks from the cache and writes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader

	Runner       *attempt.Runner
	Secrets      *signingsecret.Reader
	Observations *Observations
	Retainer     *Retainer
	Metrics      *Metrics
	// Panics recovers those of one delivery.
	Panics *panics.Guard
	// Forbidden are the API server's own addresses, which no attempt may reach.
	Forbidden func() []netip.Prefix
	Now       func() time.Time
	// Workers is how many deliveries are reconciled at a time.
	Workers int

	memory *memory
	homes  *homes
	queue  atomic.Pointer[queueBox]
	// outcomes and slowOutcomes let results be written by half of the workers,
	// and by an eighth: attempts that hang are few a second in the long run, but
	// may end together, and a write that waits for them costs healthy webhooks
	// more than their own wait costs anyone. What is left is for what is new or
	// due, and an eighth for what a change of a webhook holds or sets free.
	outcomes, slowOutcomes, released *pace

	draining sync.Mutex
	drainEnd atomic.Pointer[time.Time]
}

// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhookdeliveries,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhookdeliveries/status,verbs=update
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhooks,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=list,namespace=default

// SetupWithManager registers the reconciler.
func (r *DeliveryReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.memory = newMemory()
	r.homes = newHomes(r.Workers, r.Now, r.wake)
	r.outcomes, r.slowOutcomes, r.released = newPace(r.Workers/2), newPace(r.Workers/8), newPace(r.Workers/8)
	return ctrl.NewControllerManagedBy(mgr).
		Named("delivery").
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Workers, RateLimiter: newFailureLimiter(platformRetryMax)}).
		WatchesRawSource(source.Kind(r.Deliveries, &v1alpha1.WebhookDelivery{}, r.deliveryEvents())).
		WatchesRawSource(source.Kind(mgr.GetCache(), &v1alpha1.Webhook{}, r.webhookEvents())).
		WatchesRawSource(source.Func(r.keepQueue)).
		Complete(r)
}

// Reconcile folds what happened into the status, writes it if it changed, and
// does what comes next.
func (r *DeliveryReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	defer r.wakeNext(req.NamespacedName)
	if !r.homes.begin(req.NamespacedName) {
		return reconcile.Result{}, nil
	}
	defer r.homes.end(req.NamespacedName)
	s, err := r.gather(ctx, req.NamespacedName)
	if err != nil || s == nil {
		return reconcile.Result{}, err
	}
	defer r.forgetIfGone(ctx, s.webhook)
	if result, done, err := r.settle(ctx, s); done || err != nil {
		return result, err
	}
	return r.act(ctx, s, next(*s))
}

// gather collects all that a decision depends on; nil: nothing to decide.
func (r *DeliveryReconciler) gather(ctx context.Context, key types.NamespacedName) (*situation, error) {
	delivery, webhook, err := r.lookup(ctx, key)
	if err != nil || delivery == nil {
		return nil, err
	}
	s := &situation{delivery: delivery, webhook: webhook, now: r.Now()}
	if webhook != nil {
		s.disabled = r.Observations.Disabled(webhook)
		s.signing = r.Secrets.Problem(webhook)
	}
	view := r.Runner.View(delivery.UID)
	s.phase = view.Phase
	if view.Phase == attempt.Finished {
		s.outcome = &view.Outcome
		return s, nil
	}
	if isBeingDeleted(delivery) {
		r.Runner.Withdraw(delivery.UID)
		return nil, nil // what was in flight has its result written first
	}
	if s.owed = r.memory.owing(delivery.UID); s.owed != nil {
		return s, nil
	}
	if int(delivery.Status.Attempts) < view.Attempts {
		return nil, nil // the cache is behind what was written; its event will come
	}
	return s, nil
}

// settle writes the status that the facts ask for. Done says that this pass
// ends here.
func (r *DeliveryReconciler) settle(ctx context.Context, s *situation) (reconcile.Result, bool, error) {
	if s.owed != nil {
		return r.write(ctx, s, s.owed)
	}
	status := fold(*s)
	if !equality.Semantic.DeepEqual(status, &s.delivery.Status) {
		return r.write(ctx, s, status)
	}
	if s.outcome == nil {
		r.accountDoubtful(ctx, s)
		return reconcile.Result{}, false, nil
	}
	// The outcome changes nothing: no attempt was made, or it is recorded. Let go
	// of it and decide anew.
	failure := s.outcome.Err
	if before := r.memory.doubtful(s.delivery); before != nil && failure == nil && isRecorded(s) { // we wrote it, and the answer was lost
		r.settleRunner(s, &s.delivery.Status)
		r.account(ctx, s, before, s.delivery)
		r.memory.believe(s.delivery)
		s.outcome = nil
		return reconcile.Result{}, false, nil
	}
	r.Runner.Dropped(s.delivery.UID)
	r.memory.believe(s.delivery)
	s.outcome, s.phase = nil, attempt.None
	if _, isSecret := errors.AsType[*signingsecret.Problem](failure); failure == nil || isSecret {
		if isSecret && s.webhook != nil && isReady(s.webhook) {
			r.Observations.SecretMissed(s.webhook)
		}
		return reconcile.Result{}, false, nil
	}
	if errors.Is(failure, errHeld) { // by something that the cache may not show yet
		return reconcile.Result{RequeueAfter: heldRetry, Priority: new(priorityNormal)}, true, nil
	}
	return reconcile.Result{}, true, fmt.Errorf("prepare attempt: %w", failure)
}

// accountDoubtful makes up for a write that was taken and whose answer was lost, of
// what no attempt of ours has brought about.
func (r *DeliveryReconciler) accountDoubtful(ctx context.Context, s *situation) {
	before := r.memory.doubtful(s.delivery)
	if before == nil {
		return
	}
	r.account(ctx, s, before, s.delivery)
	r.memory.believe(s.delivery)
}

// act carries out a plan.
func (r *DeliveryReconciler) act(ctx context.Context, s *situation, p plan) (reconcile.Result, error) {
	if p.withdraw {
		r.Runner.Withdraw(s.delivery.UID)
	}
	if p.start {
		if result, done, err := r.adopt(ctx, s); done {
			return result, err
		}
		r.Runner.Submit(r.job(s.delivery, s.webhook, p.number))
	}
	if p.at.IsZero() {
		return reconcile.Result{Priority: new(priorityNormal)}, nil
	}
	wait := max(p.at.Sub(s.now), time.Millisecond)
	return reconcile.Result{RequeueAfter: wait, Priority: new(priorityNormal)}, nil
}
