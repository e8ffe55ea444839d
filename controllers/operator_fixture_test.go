// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// fault is what happens to a request that changes something.
type fault string

const (
	carriedOut  fault = ""
	failsBefore fault = "it fails and changes nothing"
	failsAfter  fault = "it is carried out and the answer is lost"
	conflicts   fault = "another client writes the object just before"
	diesBefore  fault = "the process dies just before"
	diesAfter   fault = "the process dies just after"
)

var errFault = errors.New("injected fault")

// operatorOptions says how an operator is started. The zero value but for the namespace
// is a good one.
type operatorOptions struct {
	namespace string
	// fault decides what becomes of the nth request that changes something.
	fault func(n int64, verb string, object client.Object) fault
	// webhook, unless nil, answers reads of the cache of Webhooks.
	webhook func(types.NamespacedName) (*v1alpha1.Webhook, error)
	limits  RetentionLimits
	// disableAfter as in NewObservations; zero: never.
	disableAfter time.Duration
	// clockAhead is how far the reconcilers' clock is ahead when they start.
	clockAhead time.Duration
}

// operator is one process of the manager.
type operator struct {
	operatorOptions
	*Controllers

	cache    *staleCache
	registry *prometheus.Registry

	ahead     atomic.Int64 // of the clock, a time.Duration
	mutations atomic.Int64
	dead      atomic.Bool
	stopped   sync.Once
	cancel    context.CancelFunc
	ended     chan struct{}
}

// startOperator starts an operator that is stopped after the spec at the latest.
func startOperator(options operatorOptions) *operator {
	GinkgoHelper()
	o := &operator{operatorOptions: options, registry: prometheus.NewRegistry(), ended: make(chan struct{})}
	if o.limits == (RetentionLimits{}) {
		o.limits = RetentionLimits{Succeeded: time.Hour, Failed: time.Hour, MaxCount: 1000, MaxBytes: 1 << 30}
	}
	restConfig := cluster.cp.AdminConfig()
	restConfig.QPS = -1
	namespaces := map[string]cache.Config{o.namespace: {}}
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme: cluster.scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: new(true)},
		Cache:      cache.Options{DefaultNamespaces: namespaces, DefaultTransform: cache.TransformStripManagedFields()},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &v1alpha1.WebhookDelivery{}}}},
	})
	Expect(err).NotTo(HaveOccurred())
	deliveryCache, sync, err := NewDeliveryCache(context.Background(), mgr, cache.Options{DefaultNamespaces: namespaces})
	Expect(err).NotTo(HaveOccurred())
	o.cache = &staleCache{Cache: deliveryCache, shows: map[types.NamespacedName]*v1alpha1.WebhookDelivery{}}
	o.ahead.Store(int64(options.clockAhead))
	now := func() time.Time { return time.Now().Add(time.Duration(o.ahead.Load())) }
	o.Controllers, err = Setup(mgr, Options{
		Client: interceptor.NewClient(watching{mgr.GetClient()}, o.interceptors()), Live: mortal{mgr.GetAPIReader(), &o.dead},
		Deliveries: o.cache, Sync: sync, Sender: o, URLs: cluster.sender, Forbidden: func() []netip.Prefix { return nil },
		Namespaces: []string{o.namespace}, Workers: 4, DisableAfter: o.disableAfter, BacklogLimit: 2000, BacklogFullFor: 5 * time.Minute,
		Retention: o.limits, Registry: o.registry, Now: now, Random: rand.Reader,
	})
	Expect(err).NotTo(HaveOccurred())

	ctx, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	go func() {
		defer GinkgoRecover()
		defer close(o.ended)
		Expect(mgr.Start(ctx)).To(Succeed())
	}()
	DeferCleanup(o.stop)
	return o
}

// advance puts the reconcilers' clock forward. What is in a queue is due as before.
func (o *operator) advance(by time.Duration) { o.ahead.Add(int64(by)) }

// stop ends the operator as kill does: nothing is drained.
func (o *operator) stop() {
	o.stopped.Do(func() {
		o.dead.Store(true)
		o.cancel()
		<-o.ended
	})
}

// Send implements attempt.Sender with the real dispatcher.
func (o *operator) Send(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error) {
	if o.dead.Load() {
		return dispatcher.Result{}, dispatcher.ErrUnavailable
	}
	return cluster.sender.Send(ctx, request)
}

// interceptors puts every request that changes something through the fault.
func (o *operator) interceptors() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			webhook, ok := object.(*v1alpha1.Webhook)
			if !ok || o.webhook == nil {
				return c.Get(ctx, key, object, options...)
			}
			shown, err := o.webhook(key)
			if shown == nil && err == nil {
				return c.Get(ctx, key, object, options...)
			}
			if err == nil {
				shown.DeepCopyInto(webhook)
			}
			return err
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			return o.request(ctx, "create", object, func() error { return c.Create(ctx, object, options...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			return o.request(ctx, "update", object, func() error { return c.Update(ctx, object, options...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			return o.request(ctx, "patch", object, func() error { return c.Patch(ctx, object, patch, options...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			return o.request(ctx, "delete", object, func() error { return c.Delete(ctx, object, options...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, object client.Object, options ...client.SubResourceUpdateOption) error {
			return o.request(ctx, name, object, func() error { return c.SubResource(name).Update(ctx, object, options...) })
		},
	}
}

func (o *operator) request(ctx context.Context, verb string, object client.Object, carryOut func() error) error {
	if o.dead.Load() {
		return errFault
	}
	var met fault
	if o.fault != nil {
		met = o.fault(o.mutations.Add(1), verb, object)
	}
	switch met {
	case failsBefore:
		return errFault
	case conflicts:
		disturb(ctx, object)
	case diesBefore:
		o.dead.Store(true)
		return errFault
	}
	err := carryOut()
	if met == diesAfter {
		o.dead.Store(true)
	}
	if met == failsAfter || met == diesAfter {
		return errFault
	}
	return err
}

// disturb writes an object as another client.
func disturb(ctx context.Context, object client.Object) {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"disturbed":"%d"}}}`, cluster.serial.Add(1))
	other := object.DeepCopyObject().(client.Object)
	err := cluster.admin.Patch(ctx, other, client.RawPatch(types.MergePatchType, patch))
	Expect(client.IgnoreNotFound(err)).To(Succeed())
}

// metric sums the samples of a counter or gauge that carry these labels.
func (o *operator) metric(name string, labels map[string]string) float64 {
	GinkgoHelper()
	families, err := o.registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, sample := range family.GetMetric() {
			matching := 0
			for _, label := range sample.GetLabel() {
				if want, ok := labels[label.GetName()]; ok && want == label.GetValue() {
					matching++
				}
			}
			if matching == len(labels) {
				sum += sample.GetCounter().GetValue() + sample.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// watching lets the manager's client be intercepted; it cannot watch.
type watching struct{ client.Client }

func (watching) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	return nil, errors.New("not by this client")
}

// mortal reads nothing any more once the process is dead.
type mortal struct {
	client.Reader
	dead *atomic.Bool
}

func (m mortal) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if m.dead.Load() {
		return errFault
	}
	return m.Reader.Get(ctx, key, object, options...)
}

var errNotInCache = apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("webhooks").GroupResource(), "orders")
