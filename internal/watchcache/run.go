// SPDX-License-Identifier: Apache-2.0

package watchcache

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/internal/onepass"
)

const (
	// retryMin and retryMax bound the wait before a watch that broke is opened
	// again. An informer would wait up to a minute after an outage.
	retryMin = 200 * time.Millisecond
	retryMax = 5 * time.Second
)

// Source is what a cache follows.
type Source struct {
	Client client.WithWatch
	// Namespaces are those that may be read; empty: all.
	Namespaces []string
	// List is an empty list of the kind.
	List client.ObjectList
	// Example is an empty object of the kind.
	Example client.Object
}

// Start follows the API server in the background until ctx ends: with one
// watch, or with one for each namespace.
func (c *Cache[O, E]) Start(ctx context.Context, source Source) {
	namespaces := source.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	logger := logr.FromContextOrDiscard(ctx)
	for _, namespace := range namespaces {
		reflector := cache.NewReflectorWithOptions(listWatch(source, namespace), source.Example, newStore(c, namespace), cache.ReflectorOptions{
			Logger:          &logger,
			Name:            fmt.Sprintf("watch cache of %T", source.Example),
			TypeDescription: fmt.Sprintf("%T", source.Example),
			Backoff:         &wait.Backoff{Duration: retryMin, Cap: retryMax, Factor: 2, Jitter: 1, Steps: 10},
		})
		go reflector.RunWithContext(ctx)
	}
}

func listWatch(source Source, namespace string) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, ok := source.List.DeepCopyObject().(client.ObjectList)
			if !ok {
				return nil, fmt.Errorf("watchcache: %T is no list", source.List)
			}
			err := source.Client.List(ctx, list, &client.ListOptions{Namespace: namespace, Raw: &options})
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			list, ok := source.List.DeepCopyObject().(client.ObjectList)
			if !ok {
				return nil, fmt.Errorf("watchcache: %T is no list", source.List)
			}
			return onepass.Watch(ctx, source.Example, func(ctx context.Context) (watch.Interface, error) {
				return source.Client.Watch(ctx, list, &client.ListOptions{Namespace: namespace, Raw: &options})
			})
		},
	}
}
