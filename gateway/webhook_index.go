// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/match"
	"bbmcp.quietstack.com/webhooks/internal/watchcache"
)

// endpoints are the webhooks, by namespace and id. What it returns is shared and
// must not be changed.
type endpoints struct {
	*watchcache.Cache[*v1alpha1.Webhook, *v1alpha1.Webhook]

	namespaces map[string]*namespaceEndpoints
	news       chan struct{}           // closed and replaced at every change
	followers  *news                   // nil: nobody is told
	gone       func(*v1alpha1.Webhook) // called for what is deleted
}

// namespaceEndpoints are those of one namespace, as they are looked up: an event
// costs nothing for a webhook that does not want it.
type namespaceEndpoints struct {
	byID      map[string]*v1alpha1.Webhook
	byUID     map[types.UID]*v1alpha1.Webhook
	byPattern map[string]map[types.UID]*v1alpha1.Webhook // of spec.events
}

func newEndpoints(now func() time.Time) *endpoints {
	e := &endpoints{namespaces: map[string]*namespaceEndpoints{}, news: make(chan struct{}), gone: func(*v1alpha1.Webhook) {}}
	reduce := func(webhook *v1alpha1.Webhook) *v1alpha1.Webhook { return webhook }
	e.Cache = watchcache.New(reduce, e.changed, now)
	return e
}

func (e *endpoints) changed(before, after **v1alpha1.Webhook) {
	close(e.news)
	e.news = make(chan struct{})
	if before != nil {
		e.drop(*before)
		if after == nil || (*after).UID != (*before).UID {
			e.gone(*before)
		}
	}
	if after != nil {
		e.enter(*after)
		before = after
	}
	e.followers.tell((*before).Namespace, (*before).Name, "")
}

func (e *endpoints) enter(webhook *v1alpha1.Webhook) {
	n := e.namespaces[webhook.Namespace]
	if n == nil {
		n = &namespaceEndpoints{
			byID: map[string]*v1alpha1.Webhook{}, byUID: map[types.UID]*v1alpha1.Webhook{},
			byPattern: map[string]map[types.UID]*v1alpha1.Webhook{},
		}
		e.namespaces[webhook.Namespace] = n
	}
	n.byID[idOf(webhook)] = webhook
	n.byUID[webhook.UID] = webhook
	for _, pattern := range webhook.Spec.Events {
		if n.byPattern[pattern] == nil {
			n.byPattern[pattern] = map[types.UID]*v1alpha1.Webhook{}
		}
		n.byPattern[pattern][webhook.UID] = webhook
	}
}

func (e *endpoints) drop(webhook *v1alpha1.Webhook) {
	n := e.namespaces[webhook.Namespace]
	delete(n.byID, idOf(webhook))
	delete(n.byUID, webhook.UID)
	for _, pattern := range webhook.Spec.Events {
		delete(n.byPattern[pattern], webhook.UID)
		if len(n.byPattern[pattern]) == 0 {
			delete(n.byPattern, pattern)
		}
	}
	if len(n.byID) == 0 {
		delete(e.namespaces, webhook.Namespace)
	}
}

// in runs f with the webhooks of a namespace, if there are any, while nothing
// changes.
func (e *endpoints) in(namespace string, f func(*namespaceEndpoints)) {
	e.View(func() {
		if n := e.namespaces[namespace]; n != nil {
			f(n)
		}
	})
}

// find returns the webhook with this id; nil: there is none in the namespace.
func (e *endpoints) find(namespace, id string) (found *v1alpha1.Webhook) {
	e.in(namespace, func(n *namespaceEndpoints) { found = n.byID[id] })
	return found
}

// withUID returns the webhook with this UID; nil: there is none in the namespace.
func (e *endpoints) withUID(namespace string, uid types.UID) (found *v1alpha1.Webhook) {
	e.in(namespace, func(n *namespaceEndpoints) { found = n.byUID[uid] })
	return found
}

// named returns the webhook with this name; nil: there is none.
func (e *endpoints) named(namespace, name string) *v1alpha1.Webhook {
	webhook, _ := e.Get(types.NamespacedName{Namespace: namespace, Name: name})
	return webhook
}

// await returns the webhook with this id once it is as done says, or as it is
// when ctx ends; nil: it is gone.
func (e *endpoints) await(ctx context.Context, namespace, id string, done func(*v1alpha1.Webhook) bool) *v1alpha1.Webhook {
	for {
		var news chan struct{}
		e.View(func() { news = e.news })
		found := e.find(namespace, id)
		if found == nil || done(found) {
			return found
		}
		select {
		case <-ctx.Done():
			return found
		case <-news:
		}
	}
}

// list returns the webhooks of a namespace, by name.
func (e *endpoints) list(namespace string) (all []*v1alpha1.Webhook) {
	e.in(namespace, func(n *namespaceEndpoints) { all = slices.Collect(maps.Values(n.byID)) })
	slices.SortFunc(all, func(a, b *v1alpha1.Webhook) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// matching returns the webhooks of a namespace that want an event, the oldest
// first. Those that do not cost nothing.
func (e *endpoints) matching(namespace, eventType string) (wanted []*v1alpha1.Webhook) {
	e.in(namespace, func(n *namespaceEndpoints) {
		for pattern := range match.Patterns(eventType) {
			for _, webhook := range n.byPattern[pattern] {
				if webhook.DeletionTimestamp.IsZero() {
					wanted = append(wanted, webhook)
				}
			}
		}
	})
	slices.SortFunc(wanted, func(a, b *v1alpha1.Webhook) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	return slices.Compact(wanted) // some want it for more than one reason
}

func idOf(webhook *v1alpha1.Webhook) string {
	return identity.WebhookID(webhook.Namespace, webhook.Name)
}
