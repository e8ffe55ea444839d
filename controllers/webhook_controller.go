// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
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
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// statusInterval is the least time between two writes of a Webhook's status
	// that change only counters and times.
	statusInterval = time.Minute
	// dispatcherRetry is the wait before a URL is checked again that the
	// dispatcher could not be asked about.
	dispatcherRetry = 5 * time.Second
	// webhookRetryMax bounds the wait after a pass that failed.
	webhookRetryMax = 30 * time.Second
	// resync is how often a Webhook is looked at when nothing happens: its
	// Secret is not watched.
	resync = 10 * time.Minute
	// webhookWorkers is how many Webhooks are reconciled at a time.
	webhookWorkers = 4
)

// URLChecker says whether a URL may be an endpoint; see dispatcher.Client.
type URLChecker interface {
	CheckURL(ctx context.Context, url string, forbidden []netip.Prefix) error
}

// WebhookReconciler makes a declared Webhook work: it gives it an id and a
// signing secret, rotates the secret, and writes the status. It is the only
// writer of that status.
type WebhookReconciler struct {
	Client       client.Client
	Live         client.Reader
	Deliveries   client.Reader // the delivery reconciler's cache
	Filling      *Filling      // of Deliveries
	Dispatcher   URLChecker
	Secrets      *signingsecret.Reader
	Observations *Observations
	Recorder     recorder.EventRecorder
	Metrics      *Metrics
	// BacklogLimit is how many unfinished deliveries a webhook may have.
	BacklogLimit int
	// BacklogFullFor is how long after a delivery of it was skipped its backlog counts
	// as full.
	BacklogFullFor time.Duration
	// Forbidden are the API server's own addresses.
	Forbidden func() []netip.Prefix
	Now       func() time.Time
	// Random makes secrets: crypto/rand.Reader.
	Random io.Reader

	written    sync.Map // types.NamespacedName → time.Time of the last status write
	failing    sync.Map // types.NamespacedName → time.Time of the last one that began to say AttemptsFailing
	unanswered sync.Map // types.NamespacedName → unansweredStatus
	refusals   sync.Map // types.NamespacedName → *secretRefusal
	emptied    sync.Map // emptied → true: told
	counters   turns    // of writes that only bring counters and times
	homes      *homes
	queue      atomic.Pointer[webhookQueue]
}

// webhookQueue is the controller's queue, which exists once it has started.
type webhookQueue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// unansweredStatus is a status whose write ended without an answer: the API
// server may have taken it.
type unansweredStatus struct {
	scope  *webhookScope
	status *v1alpha1.WebhookStatus
}

// webhookScope is all that a pass over one Webhook depends on.
type webhookScope struct {
	webhook  *v1alpha1.Webhook
	now      time.Time
	enabled  bool // an enable request or a change of endpoint is handled in this pass
	moved    bool // of these, a change of endpoint
	rotated  bool // a rotation request is handled in this pass
	secrets  signingsecret.Secrets
	signing  *signingsecret.Problem
	refused  *secretRefusal       // its generated Secret cannot be stored as it should be
	url      *dispatcher.URLError // the URL is refused
	urlKnown bool                 // the dispatcher could be asked
	missing  []string             // event types that are not in the catalogue
	waiting  unfinished
	news     observed
}

// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhooks,verbs=get;list;watch
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=webhooks/status,verbs=update
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=eventtypes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;create;update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager registers the reconciler.
func (r *WebhookReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.homes = newHomes(webhookWorkers, r.Now, func(webhook types.NamespacedName) {
		if queue := r.queue.Load(); queue != nil {
			queue.Add(reconcile.Request{NamespacedName: webhook})
		}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("webhook").
		For(&v1alpha1.Webhook{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.EventType{}, handler.EnqueueRequestsFromMapFunc(r.subscribers)).
		WatchesRawSource(source.Func(r.listen)).
		WithOptions(controller.Options{MaxConcurrentReconciles: webhookWorkers, RateLimiter: newFailureLimiter(webhookRetryMax)}).
		Complete(r)
}

// newFailureLimiter waits ever longer after a pass that failed, up to longest: what
// was in the way is gone at some time, and nobody tells.
func newFailureLimiter(longest time.Duration) workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](platformRetryMin, longest)
}

// listen lets deliveries say that a webhook's status should be looked at.
func (r *WebhookReconciler) listen(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	r.queue.Store(&webhookQueue{queue})
	r.Observations.onNews(func(webhook types.NamespacedName, after time.Duration) {
		queue.AddAfter(reconcile.Request{NamespacedName: webhook}, after)
	})
	return nil
}

// Reconcile makes one pass. A namespace that takes no writes waits alone.
func (r *WebhookReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if !r.homes.begin(req.NamespacedName) {
		return reconcile.Result{}, nil
	}
	defer r.homes.end(req.NamespacedName)
	result, err := r.pass(ctx, req)
	if err != nil && !isUnreachable(err) {
		r.homes.failed(req.NamespacedName)
	}
	if denial.IsConflict(err) || denial.IsNotFound(err) { // the cache is behind: look again after a rest
		return reconcile.Result{}, nil
	}
	return result, err
}

// pass gathers, acts on the secret, judges and writes the status.
func (r *WebhookReconciler) pass(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	webhook, err := r.lookup(ctx, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	if webhook == nil || !webhook.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	defer r.forgetIfGone(ctx, webhook)
	r.announceEmpty(webhook)
	s, err := r.gather(ctx, webhook)
	if err != nil {
		return reconcile.Result{}, err
	}
	return r.settle(ctx, s, judge(s, r.Observations, backlogBounds{r.BacklogLimit, r.BacklogFullFor}))
}

// lookup returns the Webhook; nil if there is none. After a write that ended
// without an answer the API server is asked what it took, or what was counted
// would be counted again.
func (r *WebhookReconciler) lookup(ctx context.Context, key types.NamespacedName) (*v1alpha1.Webhook, error) {
	var reader client.Reader = r.Client
	open, isOpen := r.unanswered.Load(key)
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
		tried := open.(unansweredStatus)
		if webhook.UID == tried.scope.webhook.UID && equality.Semantic.DeepEqual(&webhook.Status, tried.status) {
			r.account(tried.scope, tried.status)
		}
		r.unanswered.Delete(key)
	}
	if err != nil {
		r.written.Delete(key)
		r.failing.Delete(key)
		r.refusals.Delete(key)
		for _, annotation := range []string{v1alpha1.EnableRequestedAtAnnotation, v1alpha1.RotateRequestedAtAnnotation} {
			r.emptied.Delete(emptied{key, annotation})
		}
		r.counters.forget(key)
		r.Observations.Forget(key) // whoever noted something since woke us
		r.Metrics.forgetWebhook(key)
		return nil, nil
	}
	return &webhook, nil
}

func (r *WebhookReconciler) gather(ctx context.Context, webhook *v1alpha1.Webhook) (*webhookScope, error) {
	s := &webhookScope{webhook: webhook, now: r.Now()}
	s.moved = endpointChanged(webhook)
	s.enabled = enableWanted(webhook) || s.moved
	if err := r.sign(ctx, s); err != nil {
		return nil, err
	}
	if err := r.checkURL(ctx, s); err != nil {
		return nil, err
	}
	var err error
	if s.missing, err = r.unregistered(ctx, webhook); err != nil {
		return nil, err
	}
	if s.waiting, err = r.unfinished(ctx, webhook); err != nil {
		return nil, err
	}
	s.news = r.Observations.news(webhook)
	return s, nil
}

func (r *WebhookReconciler) checkURL(ctx context.Context, s *webhookScope) error {
	err := r.Dispatcher.CheckURL(ctx, s.webhook.Spec.URL, r.Forbidden())
	if refused, ok := errors.AsType[*dispatcher.URLError](err); ok {
		s.url, s.urlKnown = refused, true
		return nil
	}
	if errors.Is(err, dispatcher.ErrUnavailable) {
		return nil
	}
	s.urlKnown = err == nil
	return err
}

// unregistered lists the event types in spec.events that are not in the catalogue.
func (r *WebhookReconciler) unregistered(ctx context.Context, webhook *v1alpha1.Webhook) ([]string, error) {
	var list v1alpha1.EventTypeList
	if err := r.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list event types: %w", err)
	}
	known := make(map[string]bool, len(list.Items))
	for i := range list.Items {
		known[typeOf(&list.Items[i])] = true
	}
	var missing []string
	for _, pattern := range webhook.Spec.Events {
		if !isWildcard(pattern) && !known[pattern] {
			missing = append(missing, pattern)
		}
	}
	return missing, nil
}

// settle writes the status if it changed, at most once a minute and in turn with
// other webhooks if only counters and times did, and then tells people.
func (r *WebhookReconciler) settle(ctx context.Context, s *webhookScope, status *v1alpha1.WebhookStatus) (reconcile.Result, error) {
	before, key := &s.webhook.Status, keyOf(s.webhook)
	after := r.lookAgain(s)
	if equality.Semantic.DeepEqual(before, status) {
		r.counters.forget(key)
		r.Metrics.webhookState(s.webhook, status.State) // as a new process finds it
		return reconcile.Result{RequeueAfter: after}, nil
	}
	if r.isMinor(s, status) {
		if wait := r.untilTurn(key, s.now); wait > 0 {
			return reconcile.Result{RequeueAfter: min(wait, after)}, nil
		}
	}
	updated := s.webhook.DeepCopy()
	updated.Status = *status
	began := r.Now()
	err := r.homes.limits.Do(ctx, key.Namespace, func(ctx context.Context) error { return r.Client.Status().Update(ctx, updated) })
	if err != nil {
		// A conflict can be with ourselves, where the request was sent twice.
		if !denial.IsNotFound(err) && !denial.IsLasting(err) {
			r.unanswered.Store(key, unansweredStatus{scope: s, status: status})
		}
		return reconcile.Result{}, fmt.Errorf("write status of webhook %s/%s: %w", s.webhook.Namespace, s.webhook.Name, err)
	}
	r.homes.succeeded(key.Namespace)
	r.counters.written(key, r.Now().Sub(began))
	r.account(s, status)
	return reconcile.Result{RequeueAfter: after}, nil
}

// untilTurn is how long a webhook's counters wait to be written.
func (r *WebhookReconciler) untilTurn(webhook types.NamespacedName, now time.Time) time.Duration {
	last, _ := r.written.Load(webhook)
	lastWrite, _ := last.(time.Time)
	if wait := statusInterval - now.Sub(lastWrite); wait > 0 {
		return wait
	}
	return r.counters.wait(webhook, now)
}

// account does what follows from a status that is written, once for each write.
func (r *WebhookReconciler) account(s *webhookScope, status *v1alpha1.WebhookStatus) {
	r.written.Store(keyOf(s.webhook), s.now)
	if beginsToFail(&s.webhook.Status, status) {
		r.failing.Store(keyOf(s.webhook), s.now)
	}
	r.Observations.settle(s.webhook, s.news)
	if s.enabled { // only now: a stale cache shows requests that were handled before
		r.Observations.enabled(s.webhook, s.now)
	}
	if s.moved {
		r.Observations.released(s.webhook, s.news)
	}
	r.Metrics.webhookState(s.webhook, status.State)
	r.announce(s.webhook, &s.webhook.Status, status)
	r.announceDeletions(s.webhook, s.news)
}

// lookAgain is when something happens by the clock alone.
func (r *WebhookReconciler) lookAgain(s *webhookScope) time.Duration {
	after := resync
	if s.signing != nil {
		after = min(after, s.signing.LookAgain.Sub(s.now))
	}
	if s.refused != nil {
		after = min(after, s.refused.again.Sub(s.now))
	}
	if s.signing != nil && secretFollows(s.webhook, s.now) {
		after = min(after, secretPoll)
	}
	if !s.urlKnown {
		after = min(after, dispatcherRetry)
	}
	if end := s.secrets.OverlapEnd; end.After(s.now) {
		after = min(after, end.Sub(s.now))
	}
	if end := lastFull(s).Add(r.BacklogFullFor); end.After(s.now) {
		after = min(after, end.Sub(s.now))
	}
	if verdict := s.waiting.failedSince.Add(health.AttemptsFailingAfter); verdict.After(s.now) {
		after = min(after, verdict.Sub(s.now))
	}
	return max(after, 10*time.Millisecond)
}

// subscribers are the webhooks that name an event type that came or went.
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
			if pattern == typeOf(eventType) {
				requests = append(requests, reconcile.Request{NamespacedName: keyOf(&list.Items[i])})
			}
		}
	}
	return requests
}
