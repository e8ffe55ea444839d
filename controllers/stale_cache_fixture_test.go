// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// staleCache is a cache of deliveries that can be kept from hearing of one:
// it shows what was and holds the events back, until it catches up.
type staleCache struct {
	cache.Cache

	mu         sync.Mutex
	shows      map[types.NamespacedName]*v1alpha1.WebhookDelivery
	heldEvents []func() // events
}

// show makes the cache show this object until catchUp.
func (c *staleCache) show(delivery *v1alpha1.WebhookDelivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shows[client.ObjectKeyFromObject(delivery)] = delivery.DeepCopy()
}

func (c *staleCache) catchUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.shows)
	for _, event := range c.heldEvents {
		event()
	}
	c.heldEvents = nil
}

func (c *staleCache) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	c.mu.Lock()
	shown := c.shows[key]
	c.mu.Unlock()
	if delivery, ok := object.(*v1alpha1.WebhookDelivery); ok && shown != nil {
		shown.DeepCopyInto(delivery)
		return nil
	}
	return c.Cache.Get(ctx, key, object, options...)
}

func (c *staleCache) GetInformer(ctx context.Context, object client.Object, options ...cache.InformerGetOption) (cache.Informer, error) {
	informer, err := c.Cache.GetInformer(ctx, object, options...)
	return laggingInformer{informer, c}, err
}

// event passes an event on, now or late.
func (c *staleCache) event(object any, pass func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if delivery, ok := object.(*v1alpha1.WebhookDelivery); ok && c.shows[client.ObjectKeyFromObject(delivery)] != nil {
		c.heldEvents = append(c.heldEvents, pass)
		return
	}
	pass()
}

type laggingInformer struct {
	cache.Informer
	cache *staleCache
}

func (i laggingInformer) AddEventHandlerWithOptions(handler toolscache.ResourceEventHandler, options toolscache.HandlerOptions) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.Informer.AddEventHandlerWithOptions(toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, initial bool) { i.cache.event(object, func() { handler.OnAdd(object, initial) }) },
		UpdateFunc: func(before, after any) {
			i.cache.event(after, func() { handler.OnUpdate(before, after) })
		},
		DeleteFunc: func(object any) { i.cache.event(object, func() { handler.OnDelete(object) }) },
	}, options)
}
