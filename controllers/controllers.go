// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

// Options are the dependencies and settings of the controllers. What is not said
// to have a default is required.
type Options struct {
	// Client reads Webhooks and EventTypes from a cache, and writes; nil: the
	// manager's.
	Client client.Client
	// Live reads from the API server; nil: the manager's.
	Live client.Reader
	// Deliveries and Sync are those of NewDeliveryCache.
	Deliveries cache.Cache
	Sync       *ProgressiveSync
	// Sender makes attempts, URLs checks endpoints.
	Sender attempt.Sender
	URLs   URLChecker
	// Gate, unless nil, must be true for an attempt to start.
	Gate func() bool
	// Forbidden are the API server's own addresses, which no attempt may reach.
	Forbidden func() []netip.Prefix
	// Namespaces to work in; empty: all.
	Namespaces []string

	// Unsettled, PerWebhook and PerDestination bound attempts: see attempt.Options,
	// which has defaults.
	Unsettled, PerWebhook, PerDestination int
	// Workers is how many deliveries are reconciled at a time.
	Workers int
	// DrainGrace bounds the drain when the manager stops; 0: nothing is drained.
	DrainGrace time.Duration

	// DisableAfter is how far apart the first and the latest failure may lie before a
	// webhook is disabled; 0: never.
	DisableAfter time.Duration
	// BacklogLimit is how many unfinished deliveries a webhook may have.
	BacklogLimit int
	// BacklogFullFor is how long a webhook's backlog counts as full after one of its
	// deliveries was skipped.
	BacklogFullFor time.Duration
	Retention      RetentionLimits
	// Skipped is the ConfigMap with the reports of the gateways; without a namespace
	// nothing is collected.
	Skipped types.NamespacedName

	Registry prometheus.Registerer
	Panics   *panics.Guard
	Now      func() time.Time
	// Random makes secrets: crypto/rand.Reader.
	Random io.Reader
}

// Controllers are the reconcilers of a manager and what they share.
type Controllers struct {
	deliveries   *DeliveryReconciler
	webhooks     *WebhookReconciler
	observations *Observations
	retainer     *Retainer
	secrets      *signingsecret.Reader
	runner       *attempt.Runner
}

// Setup adds the controllers and all that runs beside them to a manager.
func Setup(mgr manager.Manager, options Options) (*Controllers, error) {
	if options.Client == nil {
		options.Client = mgr.GetClient()
	}
	if options.Live == nil {
		options.Live = mgr.GetAPIReader()
	}
	metrics := NewMetrics(options.Registry)
	registry := &webhookRegistry{cached: options.Client}
	c := &Controllers{
		observations: NewObservations(options.DisableAfter, options.Now),
		secrets:      signingsecret.NewReader(options.Live, options.Now),
	}
	c.retainer = &Retainer{
		Client: options.Client, Live: options.Live, Cached: options.Deliveries, Sync: options.Sync, WriteTimeouts: writetimeout.New(options.Now),
		Observations: c.observations, Limits: options.Retention, Namespaces: options.Namespaces, Metrics: metrics, Panics: options.Panics, Now: options.Now,
	}
	c.deliveries = &DeliveryReconciler{
		Deliveries: options.Deliveries, Client: options.Client, Live: options.Live,
		Secrets: c.secrets, Observations: c.observations, Retainer: c.retainer, Registry: registry, Metrics: metrics, Panics: options.Panics,
		Forbidden: options.Forbidden, Now: options.Now, Workers: options.Workers,
	}
	c.runner = attempt.New(attempt.Options{
		Sender: guardedSender{options.Sender, options.Panics}, Wake: c.deliveries.Wake, WakeSlow: c.deliveries.WakeSlow,
		Gate: options.Gate, Throttle: func() bool { return !options.Sync.Done() },
		Unsettled: options.Unsettled, PerWebhook: options.PerWebhook, PerDestination: options.PerDestination,
	})
	c.deliveries.Runner = c.runner
	c.webhooks = &WebhookReconciler{
		Client: options.Client, Live: options.Live, Deliveries: options.Deliveries, Sync: options.Sync,
		Dispatcher: options.URLs, Secrets: c.secrets, Observations: c.observations, Registry: registry, Metrics: metrics,
		Recorder: mgr.GetEventRecorder("bbmcp-webhooks"), BacklogLimit: options.BacklogLimit, BacklogFullFor: options.BacklogFullFor,
		Forbidden: options.Forbidden, Now: options.Now, Random: options.Random,
	}
	registry.onDelete(func(webhook types.NamespacedName) { c.runner.Reset(webhook, attempt.WebhookChange{Gone: true}) }, c.retainer.ForgetWebhook)
	registry.onAbsent(c.observations.Forget, metrics.forgetWebhook, c.webhooks.dropEntries)
	registry.onDeleteUID(c.secrets.Forget)
	options.Registry.MustRegister(RunnerCollector{Stats: c.runner.Stats}, options.Sync.Collector())
	if err := c.addTo(mgr, options, metrics); err != nil {
		return nil, fmt.Errorf("set up controllers: %w", err)
	}
	return c, nil
}

// addTo lets the manager run the controllers.
func (c *Controllers) addTo(mgr manager.Manager, options Options, metrics *Metrics) error {
	for _, runnable := range []manager.Runnable{
		options.Deliveries,
		manager.RunnableFunc(c.runner.Run),
		c.retainer,
		&SkippedCollector{
			Client: options.Client, Live: options.Live, Observations: c.observations, Metrics: metrics,
			Panics: options.Panics, Now: options.Now, Object: options.Skipped,
		},
	} {
		if err := mgr.Add(runnable); err != nil {
			return err
		}
	}
	if options.DrainGrace > 0 {
		if err := mgr.Add(drainer{c.deliveries, options.DrainGrace}); err != nil {
			return err
		}
	}
	eventTypes := &EventTypeReconciler{Client: options.Client, Now: options.Now}
	for _, reconciler := range []interface {
		SetupWithManager(mgr manager.Manager) error
	}{c.deliveries, c.webhooks, eventTypes} {
		if err := reconciler.SetupWithManager(mgr); err != nil {
			return err
		}
	}
	return nil
}

// Drain ends the work of this process without losing or repeating a delivery; see
// DeliveryReconciler.Drain.
func (c *Controllers) Drain(ctx context.Context, grace time.Duration) error {
	return c.deliveries.Drain(ctx, grace)
}

// newControllerRateLimiter waits ever longer after a failed pass, up to longest: no event says
// that the cause of the failure is gone.
func newControllerRateLimiter(longest time.Duration) workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](platformRetryMin, longest)
}
