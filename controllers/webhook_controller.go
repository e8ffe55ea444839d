// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// statusInterval is the least time between two writes of a Webhook's status
	// that change only counters and times.
	statusInterval = time.Minute
	// dispatcherRetry is the wait before the next check of a URL while the dispatcher
	// is not there.
	dispatcherRetry = 5 * time.Second
	// failurePoll is how often the cache is asked for the attempt by which an endpoint
	// failed within statusInterval, until it shows it: a delivery wakes no webhook.
	failurePoll = time.Second
	// webhookRetryMax bounds the wait after a pass that failed.
	webhookRetryMax = 30 * time.Second
	// resync is how often a Webhook is reconciled without an event: its Secret is not
	// watched.
	resync = 10 * time.Minute
	// webhookWorkers is how many Webhooks are reconciled at a time.
	webhookWorkers = 4
)

// URLChecker says whether a URL may be an endpoint; see dispatcher.Client.
type URLChecker interface {
	CheckURL(ctx context.Context, url string, forbidden []netip.Prefix) error
}

// WebhookReconciler gives each Webhook its id and signing secret, rotates the secret,
// and writes the status. It is the only writer of that status.
type WebhookReconciler struct {
	Client       client.Client
	Live         client.Reader
	Deliveries   client.Reader    // the delivery reconciler's cache
	Sync         *ProgressiveSync // of Deliveries
	Dispatcher   URLChecker
	Secrets      *signingsecret.Reader
	Observations *Observations
	Registry     *webhookRegistry
	Recorder     recorder.EventRecorder
	Metrics      *Metrics
	// BacklogLimit is how many unfinished deliveries a webhook may have.
	BacklogLimit int
	// BacklogFullFor is how long a webhook's backlog counts as full after one of its
	// deliveries was skipped.
	BacklogFullFor time.Duration
	// Forbidden are the API server's own addresses.
	Forbidden func() []netip.Prefix
	Now       func() time.Time
	// Random makes secrets: crypto/rand.Reader.
	Random io.Reader

	lastWrites      sync.Map        // types.NamespacedName → time.Time of the last status write
	lastFailing     sync.Map        // types.NamespacedName → time.Time of the last one that began to say AttemptsFailing
	unconfirmed     sync.Map        // types.NamespacedName → unansweredStatus
	refusals        sync.Map        // types.NamespacedName → *secretRefusal
	emptyReported   sync.Map        // emptyRequestKey → true: an event was emitted
	counterThrottle counterThrottle // of writes that change only counters and times
	pool            *workerPool
	queue           atomic.Pointer[webhookQueue]
}

// webhookQueue is the controller's queue, which exists once it has started.
type webhookQueue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// unconfirmedStatus is a status whose write ended without an answer: the API server may
// have applied it.
type unconfirmedStatus struct {
	scope  *webhookScope
	status *v1alpha1.WebhookStatus
}

// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhooks,verbs=get;list;watch
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhooks/status,verbs=update
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=eventtypes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;create;update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager registers the reconciler.
func (r *WebhookReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.pool = newWorkerPool(webhookWorkers, r.Now, func(webhook types.NamespacedName) {
		if queue := r.queue.Load(); queue != nil {
			queue.Add(reconcile.Request{NamespacedName: webhook})
		}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("webhook").
		For(&v1alpha1.Webhook{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.EventType{}, handler.EnqueueRequestsFromMapFunc(r.subscribers)).
		WatchesRawSource(source.Func(r.storeQueue)).
		WithOptions(controller.Options{MaxConcurrentReconciles: webhookWorkers, RateLimiter: newControllerRateLimiter(webhookRetryMax)}).
		Complete(r)
}

// storeQueue lets observations of deliveries enqueue their webhook.
func (r *WebhookReconciler) storeQueue(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	r.queue.Store(&webhookQueue{queue})
	r.Observations.onChange(func(webhook types.NamespacedName, after time.Duration) {
		queue.AddAfter(reconcile.Request{NamespacedName: webhook}, after)
	})
	return nil
}

// Reconcile makes one pass. A namespace whose writes fail delays no other.
func (r *WebhookReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if !r.pool.acquire(req.NamespacedName) {
		return reconcile.Result{}, nil
	}
	defer r.pool.release(req.NamespacedName)
	result, err := r.pass(ctx, req)
	if err != nil && !isWriteUnreachable(err) {
		r.pool.noteFailure(req.NamespacedName)
	}
	if denial.IsConflict(err) || denial.IsNotFound(err) { // the cache is behind: the next pass comes after a rest
		return reconcile.Result{}, nil
	}
	return result, err
}

// pass gathers the facts, maintains the secret and writes the status.
func (r *WebhookReconciler) pass(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	webhook, err := r.lookup(ctx, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	if webhook == nil || !webhook.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	defer r.Registry.dropIfGone(ctx, webhook)
	r.emitEmptyRequests(webhook)
	s, err := r.gather(ctx, webhook)
	if err != nil {
		return reconcile.Result{}, err
	}
	return r.settle(ctx, s, nextWebhookStatus(s, r.Observations, backlogQuota{r.BacklogLimit, r.BacklogFullFor}))
}

// lookup returns the Webhook; nil if there is none. After a write that ended
// without an answer it is read from the API server: otherwise counters that were
// written would be added again.
func (r *WebhookReconciler) lookup(ctx context.Context, key types.NamespacedName) (*v1alpha1.Webhook, error) {
	var reader client.Reader = r.Client
	open, isOpen := r.unconfirmed.Load(key)
	if isOpen {
		reader = r.Live
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var webhook v1alpha1.Webhook
	err := reader.Get(ctx, key, &webhook)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("get webhook %s: %w", key, err)
	}
	if isOpen {
		tried := open.(unconfirmedStatus)
		if webhook.UID == tried.scope.webhook.UID && equality.Semantic.DeepEqual(&webhook.Status, tried.status) {
			r.account(tried.scope, tried.status)
		}
		r.unconfirmed.Delete(key)
	}
	if err != nil {
		r.Registry.dropAbsent(key) // a pass or an observation may have added entries since the deletion
		return nil, nil
	}
	return &webhook, nil
}

// dropEntries drops the entries of a webhook that is gone.
func (r *WebhookReconciler) dropEntries(webhook types.NamespacedName) {
	r.lastWrites.Delete(webhook)
	r.lastFailing.Delete(webhook)
	r.refusals.Delete(webhook)
	for _, annotation := range []string{v1alpha1.EnableRequestedAtAnnotation, v1alpha1.RotateRequestedAtAnnotation} {
		r.emptyReported.Delete(emptyRequestKey{webhook, annotation})
	}
	r.counterThrottle.cancel(webhook)
}

// settle writes the status if it changed and then accounts for it. A change of counters
// and times alone is written at most once a minute, throttled with other webhooks.
func (r *WebhookReconciler) settle(ctx context.Context, s *webhookScope, status *v1alpha1.WebhookStatus) (reconcile.Result, error) {
	before, key := &s.webhook.Status, client.ObjectKeyFromObject(s.webhook)
	after := r.requeueDelay(s)
	if equality.Semantic.DeepEqual(before, status) {
		r.counterThrottle.cancel(key)
		r.Metrics.webhookState(s.webhook, status.State) // also in a new process
		return reconcile.Result{RequeueAfter: after}, nil
	}
	if r.isMinorStatus(s, status) {
		if wait := r.counterDelay(key, s.now); wait > 0 {
			return reconcile.Result{RequeueAfter: min(wait, after)}, nil
		}
	}
	updated := s.webhook.DeepCopy()
	updated.Status = *status
	began := r.Now()
	err := r.pool.writeTimeouts.Do(ctx, key.Namespace, func(ctx context.Context) error { return r.Client.Status().Update(ctx, updated) })
	if err != nil {
		// A request that was sent twice conflicts with itself.
		if !denial.IsNotFound(err) && !denial.IsLasting(err) {
			r.unconfirmed.Store(key, unconfirmedStatus{scope: s, status: status})
		}
		return reconcile.Result{}, fmt.Errorf("write status of webhook %s/%s: %w", s.webhook.Namespace, s.webhook.Name, err)
	}
	r.pool.noteSuccess(key.Namespace)
	r.counterThrottle.finish(key, r.Now().Sub(began))
	r.account(s, status)
	return reconcile.Result{RequeueAfter: after}, nil
}

// account applies the consequences of a status write, once for each write.
func (r *WebhookReconciler) account(s *webhookScope, status *v1alpha1.WebhookStatus) {
	r.lastWrites.Store(client.ObjectKeyFromObject(s.webhook), s.now)
	if startsFailing(&s.webhook.Status, status) {
		r.lastFailing.Store(client.ObjectKeyFromObject(s.webhook), s.now)
	}
	r.Observations.acknowledge(s.webhook, s.observed)
	if s.enabled { // only now: a stale cache shows requests that were handled before
		r.Observations.markEnabled(s.webhook, s.now)
	}
	if s.endpointMoved {
		r.Observations.clearRetryAfter(s.webhook, s.observed)
	}
	r.Metrics.webhookState(s.webhook, status.State)
	r.emitEvents(s.webhook, &s.webhook.Status, status)
	r.emitDeletedEarly(s.webhook, s.observed)
}

// requeueDelay is when the next pass is due by the clock alone.
func (r *WebhookReconciler) requeueDelay(s *webhookScope) time.Duration {
	after := resync
	if s.signingProblem != nil {
		after = min(after, s.signingProblem.LookAgain.Sub(s.now))
	}
	if s.refusal != nil {
		after = min(after, s.refusal.retryAt.Sub(s.now))
	}
	if s.signingProblem != nil && isSecretAnnounced(s.webhook, s.now) {
		after = min(after, secretPoll)
	}
	if !s.urlChecked {
		after = min(after, dispatcherRetry)
	}
	if s.unfinished.latest.Reason == "" && s.now.Sub(r.Observations.Facts(s.webhook).LastFailure) < statusInterval {
		after = min(after, failurePoll)
	}
	if end := s.secrets.OverlapEnd; end.After(s.now) {
		after = min(after, end.Sub(s.now))
	}
	if end := lastBacklogFull(s).Add(r.BacklogFullFor); end.After(s.now) {
		after = min(after, end.Sub(s.now))
	}
	if verdict := s.unfinished.failedSince.Add(health.AttemptsFailingAfter); verdict.After(s.now) {
		after = min(after, verdict.Sub(s.now))
	}
	return max(after, 10*time.Millisecond)
}

// subscribers are the webhooks that name an event type that was created, changed or
// deleted.
func (r *WebhookReconciler) subscribers(ctx context.Context, object client.Object) []reconcile.Request {
	eventType, ok := object.(*v1alpha1.EventType)
	if !ok {
		return nil
	}
	var list v1alpha1.WebhookList
	if err := r.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list webhooks after an event type changed")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		for _, pattern := range list.Items[i].Spec.Events {
			if pattern == eventTypeName(eventType) {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
			}
		}
	}
	return requests
}
