// SPDX-License-Identifier: Apache-2.0

package watchcache

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/internal/onepass"
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

func newListWatch(source Source, namespace string) *cache.ListWatch {
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
