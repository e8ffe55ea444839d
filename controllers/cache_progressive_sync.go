// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/onepass"
)

const (
	// beginAfter is how many deliveries the cache holds before work on them begins,
	// beginWithin how long that is waited for.
	beginAfter  = 500
	beginWithin = time.Second
)

// Filling lets work begin with the first deliveries that are read instead of with
// the last: a hundred thousand take half a minute or more. It makes the informers
// of the cache of deliveries, for cache.Options, and is used for one cache. See
// docs/adr/0002-fill-the-delivery-cache-as-leader.md.
type Filling struct {
	unfilled atomic.Int32
}

// Done reports whether every delivery that existed when the cache was started is
// in it, or about to be.
func (f *Filling) Done() bool { return f.unfilled.Load() == 0 }

// Collector shows whether Done.
func (f *Filling) Collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bbmcp_delivery_cache_filled",
		Help: "1 once every delivery that existed when this replica became the leader has been read; attempts begin before that.",
	}, func() float64 {
		if f.Done() {
			return 1
		}
		return 0
	})
}

// NewInformer is a value for cache.Options.
func (f *Filling) NewInformer(
	from toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers,
) toolscache.SharedIndexInformer {
	f.unfilled.Add(1)
	source := &fillSource{from: toolscache.ToListerWatcherWithContext(from), filled: func() { f.unfilled.Add(-1) }}
	return toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc: source.list, WatchFuncWithContext: source.watch,
	}, example, resync, indexers)
}

// fillSource tells an informer that it has heard of everything there was when it
// has heard of a part. The rest follows as if it were new.
type fillSource struct {
	from toolscache.ListerWatcherWithContext

	mu     sync.Mutex
	state  fillState
	filled func()
}

type fillState int

const (
	untold  fillState = iota // the informer waits for its first deliveries
	telling                  // it has some of them and believes that it has all
	told
)

// list serves where the API server streams no lists.
func (s *fillSource) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	if !s.is(told) {
		options.ResourceVersion, options.ResourceVersionMatch = "", "" // else it may lack what was just written
	}
	list, err := s.from.ListWithContext(ctx, options)
	if page, ok := list.(metav1.ListInterface); err == nil && ok && page.GetContinue() == "" {
		s.finish()
	}
	return list, err
}

func (s *fillSource) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	streams := options.SendInitialEvents != nil && *options.SendInitialEvents
	switch {
	case s.is(told):
		return s.open(ctx, options)
	case !streams:
		return nil, errFillAgain()
	}
	options.ResourceVersion = "" // as new as this request
	from, err := s.open(ctx, options)
	if err != nil {
		return nil, err
	}
	events := make(chan watch.Event)
	to := watch.NewProxyWatcher(events)
	go s.relay(from, to, events)
	return to, nil
}

func (s *fillSource) open(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return onepass.Watch(ctx, &v1alpha1.WebhookDelivery{}, func(ctx context.Context) (watch.Interface, error) {
		return s.from.WatchWithContext(ctx, options)
	})
}

// relay passes events on until either side stops.
func (s *fillSource) relay(from watch.Interface, to *watch.ProxyWatcher, events chan<- watch.Event) {
	defer close(events)
	defer from.Stop()
	send := func(event watch.Event) bool {
		select {
		case events <- event:
			return true
		case <-to.StopChan():
			return false
		}
	}
	count, began := 0, time.Now()
	for event := range from.ResultChan() {
		if !send(event) {
			return
		}
		if endsInitialEvents(event) {
			s.finish()
		}
		count++
		if (count >= beginAfter || time.Since(began) >= beginWithin) && s.advance(untold, telling) && !send(endOfSome(event)) {
			return
		}
	}
	if s.is(telling) {
		send(watch.Event{Type: watch.Error, Object: &errFillAgain().ErrStatus})
	}
}

// endsInitialEvents reports whether an event says that all there was has been sent.
func endsInitialEvents(event watch.Event) bool {
	object, ok := event.Object.(metav1.Object)
	return ok && event.Type == watch.Bookmark && object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"
}

// endOfSome says so where it is not true yet.
func endOfSome(latest watch.Event) watch.Event {
	bookmark := &v1alpha1.WebhookDelivery{}
	bookmark.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	if object, ok := latest.Object.(client.Object); ok {
		bookmark.ResourceVersion = object.GetResourceVersion()
	}
	return watch.Event{Type: watch.Bookmark, Object: bookmark}
}

// errFillAgain makes an informer read everything anew: what it knows of the
// position of its watch is not true.
func errFillAgain() *apierrors.StatusError {
	return apierrors.NewResourceExpired("the first list ended before it was complete")
}

func (s *fillSource) is(state fillState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == state
}

func (s *fillSource) advance(from, to fillState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != from {
		return false
	}
	s.state = to
	return true
}

func (s *fillSource) finish() {
	if s.advance(untold, told) || s.advance(telling, told) {
		s.filled()
	}
}
