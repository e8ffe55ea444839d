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
	// Work begins once the cache holds forgeAfter deliveries, or after forgeWithin.
	forgeAfter  = 500
	forgeWithin = time.Second
)

// ProgressiveSync lets work begin with the first deliveries that the cache reads instead of
// with the last: a hundred thousand take half a minute or more. It makes the informers
// of one cache of deliveries, for cache.Options. See
// docs/adr/0002-fill-the-delivery-cache-as-leader.md.
type ProgressiveSync struct {
	incomplete atomic.Int32
}

// Done reports whether every delivery that existed when the cache was started is
// in it, or about to be.
func (f *ProgressiveSync) Done() bool { return f.incomplete.Load() == 0 }

// Collector shows whether Done.
func (f *ProgressiveSync) Collector() prometheus.Collector {
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
func (f *ProgressiveSync) NewInformer(
	from toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers,
) toolscache.SharedIndexInformer {
	f.incomplete.Add(1)
	source := &progressiveSource{from: toolscache.ToListerWatcherWithContext(from), onComplete: func() { f.incomplete.Add(-1) }}
	return toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc: source.list, WatchFuncWithContext: source.watch,
	}, example, resync, indexers)
}

// progressiveSource tells an informer that its first list is complete when it has a part of
// it. The rest follows as if it were new.
type progressiveSource struct {
	from toolscache.ListerWatcherWithContext

	mu         sync.Mutex
	state      syncState
	onComplete func()
}

type syncState int

const (
	syncPending syncState = iota // the informer waits for its first deliveries
	syncForged                   // it has some of them; the forged bookmark says all
	syncComplete
)

// list serves where the API server streams no lists.
func (s *progressiveSource) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	if !s.inState(syncComplete) {
		options.ResourceVersion, options.ResourceVersionMatch = "", "" // else it may lack what was just written
	}
	list, err := s.from.ListWithContext(ctx, options)
	if page, ok := list.(metav1.ListInterface); err == nil && ok && page.GetContinue() == "" {
		s.finish()
	}
	return list, err
}

func (s *progressiveSource) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	streams := options.SendInitialEvents != nil && *options.SendInitialEvents
	switch {
	case s.inState(syncComplete):
		return s.open(ctx, options)
	case !streams:
		return nil, errSyncAgain()
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

func (s *progressiveSource) open(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return onepass.Watch(ctx, &v1alpha1.WebhookDelivery{}, func(ctx context.Context) (watch.Interface, error) {
		return s.from.WatchWithContext(ctx, options)
	})
}

// relay passes events on until either side stops.
func (s *progressiveSource) relay(from watch.Interface, to *watch.ProxyWatcher, events chan<- watch.Event) {
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
		if (count >= forgeAfter || time.Since(began) >= forgeWithin) && s.advance(syncPending, syncForged) && !send(forgedBookmark(event)) {
			return
		}
	}
	if s.inState(syncForged) {
		send(watch.Event{Type: watch.Error, Object: &errSyncAgain().ErrStatus})
	}
}

// endsInitialEvents reports whether an event says that all there was has been sent.
func endsInitialEvents(event watch.Event) bool {
	object, ok := event.Object.(metav1.Object)
	return ok && event.Type == watch.Bookmark && object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"
}

// forgedBookmark tells the informer that its first list is complete before it is.
func forgedBookmark(latest watch.Event) watch.Event {
	bookmark := &v1alpha1.WebhookDelivery{}
	bookmark.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	if object, ok := latest.Object.(client.Object); ok {
		bookmark.ResourceVersion = object.GetResourceVersion()
	}
	return watch.Event{Type: watch.Bookmark, Object: bookmark}
}

// errSyncAgain makes an informer list everything anew: the position of its watch is
// not true.
func errSyncAgain() *apierrors.StatusError {
	return apierrors.NewResourceExpired("the first list ended before it was complete")
}

func (s *progressiveSource) inState(state syncState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == state
}

func (s *progressiveSource) advance(from, to syncState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != from {
		return false
	}
	s.state = to
	return true
}

func (s *progressiveSource) finish() {
	if s.advance(syncPending, syncComplete) || s.advance(syncForged, syncComplete) {
		s.onComplete()
	}
}
