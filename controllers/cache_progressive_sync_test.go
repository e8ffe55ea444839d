// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// streams is an API server whose streams a test writes: one that breaks in the
// middle of the first list cannot be had from a real one when it is wanted.
type streams struct {
	opened chan *watch.FakeWatcher

	mu     sync.Mutex
	asked  []metav1.ListOptions
	listed []metav1.ListOptions
	list   *v1alpha1.WebhookDeliveryList // nil: lists are streamed
}

func (s *streams) source() *toolscache.ListWatch {
	return &toolscache.ListWatch{
		ListWithContextFunc: func(_ context.Context, options metav1.ListOptions) (runtime.Object, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.listed = append(s.listed, options)
			return s.list, nil
		},
		WatchFuncWithContext: func(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.list != nil && options.SendInitialEvents != nil {
				return nil, apierrors.NewBadRequest("no streamed lists here")
			}
			s.asked = append(s.asked, options)
			stream := watch.NewFake()
			s.opened <- stream
			return stream, nil
		},
	}
}

// filling starts an informer on streams.
func filling(t *testing.T, s *streams) (*ProgressiveSync, toolscache.SharedIndexInformer) {
	t.Helper()
	s.opened = make(chan *watch.FakeWatcher, 8)
	f := &ProgressiveSync{}
	informer := f.NewInformer(s.source(), &v1alpha1.WebhookDelivery{}, 0, toolscache.Indexers{})
	if f.Done() {
		t.Fatal("done before anything is read")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		informer.RunWithContext(ctx)
	}()
	t.Cleanup(func() { stop(); <-ended })
	return f, informer
}

func versioned(i int) *v1alpha1.WebhookDelivery {
	return &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: fmt.Sprint("d", i), ResourceVersion: fmt.Sprint(1 + i),
	}}
}

func endOfList(version int) *v1alpha1.WebhookDelivery {
	return &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: fmt.Sprint(version), Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}
}

func soonTrue(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func holds(informer toolscache.SharedIndexInformer, n int) func() bool {
	return func() bool { return len(informer.GetStore().ListKeys()) == n }
}

// partlyFilled starts an informer and tells it of so many deliveries that work begins.
func partlyFilled(t *testing.T, s *streams) (*ProgressiveSync, toolscache.SharedIndexInformer, *watch.FakeWatcher) {
	t.Helper()
	f, informer := filling(t, s)
	stream := <-s.opened
	for i := range forgeAfter + 1 {
		stream.Add(versioned(i))
	}
	soonTrue(t, "work does not begin", informer.HasSynced)
	return f, informer, stream
}

func TestAShortListIsReadAsUsual(t *testing.T) {
	s := &streams{}
	f, informer := filling(t, s)
	stream := <-s.opened
	for i := range 3 {
		stream.Add(versioned(i))
	}
	if informer.HasSynced() || f.Done() {
		t.Fatal("three of nobody knows how many are called all")
	}
	stream.Action(watch.Bookmark, endOfList(10))
	soonTrue(t, "never synced", informer.HasSynced)
	soonTrue(t, "three are not there", holds(informer, 3))
	if !f.Done() {
		t.Error("not done though all is read")
	}
}

func TestWorkBeginsBeforeTheListIsComplete(t *testing.T) {
	s := &streams{}
	f, informer, stream := partlyFilled(t, s)
	if f.Done() {
		t.Fatal("done before the end of the list")
	}
	for i := forgeAfter + 1; i < 2*forgeAfter; i++ {
		stream.Add(versioned(i))
	}
	soonTrue(t, "the rest is not there", holds(informer, 2*forgeAfter))
	stream.Action(watch.Bookmark, endOfList(5000))
	soonTrue(t, "never done", f.Done)
	stream.Delete(versioned(7))
	soonTrue(t, "what follows is not heeded", holds(informer, 2*forgeAfter-1))
}

func TestAListThatBreaksIsReadAnew(t *testing.T) {
	s := &streams{}
	f, informer, stream := partlyFilled(t, s)
	stream.Stop()
	stream = <-s.opened
	for i := 1; i < forgeAfter+100; i++ { // the first has gone meanwhile
		stream.Add(versioned(i))
		if i == forgeAfter+50 && len(informer.GetStore().ListKeys()) < forgeAfter {
			t.Fatal("what the second list has not told yet is taken for deleted")
		}
	}
	if f.Done() {
		t.Fatal("done in the middle of the second list")
	}
	stream.Action(watch.Bookmark, endOfList(5000))
	soonTrue(t, "the second list is not there", holds(informer, forgeAfter+99))
	soonTrue(t, "never done", f.Done)
	for _, options := range s.asked {
		if options.ResourceVersion != "" || options.SendInitialEvents == nil || !*options.SendInitialEvents {
			t.Errorf("asked for %+v: not for all there is now", options)
		}
	}
}

func TestAPIServerThatStreamsNoLists(t *testing.T) {
	s := &streams{list: &v1alpha1.WebhookDeliveryList{ListMeta: metav1.ListMeta{ResourceVersion: "10"}}}
	for i := range 3 {
		s.list.Items = append(s.list.Items, *versioned(i))
	}
	f, informer := filling(t, s)
	soonTrue(t, "never done", f.Done)
	soonTrue(t, "three are not there", holds(informer, 3))
	<-s.opened // and watched from there
	s.mu.Lock()
	defer s.mu.Unlock()
	if version := s.listed[0].ResourceVersion; version != "" {
		t.Errorf("listed at version %q: it may lack what was just written", version)
	}
	if version := s.asked[0].ResourceVersion; version != "10" {
		t.Errorf("watched from version %q, not from the list's", version)
	}
}
