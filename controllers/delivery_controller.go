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
	// Outcomes go first: each holds one of the bounded unsettled slots. All other
	// passes are equal; the default of controller-runtime would keep deliveries of
	// the initial list behind new ones for ever.
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
	Registry     *webhookRegistry
	Metrics      *Metrics
	// Panics recovers those of one delivery.
	Panics *panics.Guard
	// Forbidden are the API server's own addresses, which no attempt may reach.
	Forbidden func() []netip.Prefix
	Now       func() time.Time
	// Workers is how many deliveries are reconciled at a time.
	Workers int

	pending *pendingWrites
	pool    *workerPool
	queue   atomic.Pointer[deliveryQueue]
	// At most half of the workers write outcomes, an eighth outcomes of slow
	// webhooks, an eighth look again at deliveries after a Webhook changed. The rest
	// serve new and due deliveries, so a burst of timeouts cannot starve them.
	outcomeAdmission, slowOutcomeAdmission, releasedAdmission *fairAdmission

	draining sync.Mutex
	drainEnd atomic.Pointer[time.Time]
}

// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhookdeliveries,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhookdeliveries/status,verbs=update
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhooks,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=list,namespace=default

// SetupWithManager registers the reconciler.
func (r *DeliveryReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.pending = newPendingWrites()
	r.pool = newWorkerPool(r.Workers, r.Now, r.enqueueOutcome)
	r.outcomeAdmission, r.slowOutcomeAdmission, r.releasedAdmission = newFairAdmission(r.Workers/2), newFairAdmission(r.Workers/8), newFairAdmission(r.Workers/8)
	return ctrl.NewControllerManagedBy(mgr).
		Named("delivery").
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Workers, RateLimiter: newControllerRateLimiter(platformRetryMax)}).
		WatchesRawSource(source.Kind(r.Deliveries, &v1alpha1.WebhookDelivery{}, r.watchDeliveries())).
		WatchesRawSource(source.Kind(mgr.GetCache(), &v1alpha1.Webhook{}, r.watchWebhooks())).
		WatchesRawSource(source.Func(r.storeQueue)).
		Complete(r)
}

// Reconcile computes the status from the facts, writes it if it changed, and
// carries out the plan for the delivery.
func (r *DeliveryReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	defer r.enqueueAdmitted(req.NamespacedName)
	if !r.pool.acquire(req.NamespacedName) {
		return reconcile.Result{}, nil
	}
	defer r.pool.release(req.NamespacedName)
	s, err := r.gather(ctx, req.NamespacedName)
	if err != nil || s == nil {
		return reconcile.Result{}, err
	}
	defer r.Registry.dropIfGone(ctx, s.webhook)
	if result, done, err := r.settle(ctx, s); done || err != nil {
		return result, err
	}
	return r.act(ctx, s, nextPlan(*s))
}

// settle writes the status that the facts ask for; done: the pass ends here.
func (r *DeliveryReconciler) settle(ctx context.Context, s *deliveryScope) (reconcile.Result, bool, error) {
	if s.deferred != nil {
		return r.writeStatus(ctx, s, s.deferred)
	}
	status := nextDeliveryStatus(*s)
	if !equality.Semantic.DeepEqual(status, &s.delivery.Status) {
		return r.writeStatus(ctx, s, status)
	}
	if s.outcome == nil {
		r.accountUnconfirmed(ctx, s)
		return reconcile.Result{}, false, nil
	}
	// The outcome changes nothing: no attempt was made, or the log has it. Drop it
	// and plan again.
	failure := s.outcome.Err
	if before := r.pending.unconfirmedBefore(s.delivery); before != nil && failure == nil && isInAttemptLog(s) { // we wrote it, and the answer was lost
		r.acknowledgeWritten(s, &s.delivery.Status)
		r.account(ctx, s, before, s.delivery)
		r.pending.confirm(s.delivery)
		s.outcome = nil
		return reconcile.Result{}, false, nil
	}
	r.Runner.Acknowledge(s.delivery.UID, attempt.Ack{Dropped: true})
	r.pending.confirm(s.delivery)
	s.outcome, s.phase = nil, attempt.None
	if _, isSecret := errors.AsType[*signingsecret.Problem](failure); failure == nil || isSecret {
		if isSecret && s.webhook != nil && isWebhookReady(s.webhook) {
			r.Observations.SecretMissed(s.webhook)
		}
		return reconcile.Result{}, false, nil
	}
	if errors.Is(failure, errHeld) { // the cache may not show the cause yet
		return reconcile.Result{RequeueAfter: heldRetry, Priority: new(priorityNormal)}, true, nil
	}
	return reconcile.Result{}, true, fmt.Errorf("prepare attempt: %w", failure)
}

// act carries out a plan.
func (r *DeliveryReconciler) act(ctx context.Context, s *deliveryScope, p plan) (reconcile.Result, error) {
	if p.withdraw {
		r.Runner.Cancel(s.delivery.UID)
	}
	if p.start {
		if result, done, err := r.adopt(ctx, s); done {
			return result, err
		}
		r.Runner.Submit(r.newJob(s.delivery, s.webhook, p.number))
	}
	if p.lookAgain.IsZero() {
		return reconcile.Result{Priority: new(priorityNormal)}, nil
	}
	wait := max(p.lookAgain.Sub(s.now), time.Millisecond)
	return reconcile.Result{RequeueAfter: wait, Priority: new(priorityNormal)}, nil
}
