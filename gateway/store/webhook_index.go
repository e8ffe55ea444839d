// SPDX-License-Identifier: Apache-2.0

package store

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

// WebhookIndex holds the webhooks that this replica knows, by namespace and id. What it returns is shared and must not
// be changed.
type WebhookIndex struct {
	*watchcache.Cache[*v1alpha1.Webhook, *v1alpha1.Webhook]

	namespaces map[string]*namespaceWebhooks
	changes    chan struct{} // closed and replaced at every change
}

// namespaceWebhooks are the webhooks of one namespace, indexed so that an event costs nothing for a webhook that does
// not match it.
type namespaceWebhooks struct {
	byID      map[string]*v1alpha1.Webhook
	byUID     map[types.UID]*v1alpha1.Webhook
	byPattern map[string]map[types.UID]*v1alpha1.Webhook // of spec.events
}

// NewWebhookIndex returns an index that is empty until Start.
func NewWebhookIndex(now func() time.Time) *WebhookIndex {
	x := &WebhookIndex{namespaces: map[string]*namespaceWebhooks{}, changes: make(chan struct{})}
	reduce := func(webhook *v1alpha1.Webhook) *v1alpha1.Webhook { return webhook }
	x.Cache = watchcache.New(reduce, x.applyChange, now)
	return x
}

func (x *WebhookIndex) applyChange(before, after **v1alpha1.Webhook) {
	close(x.changes)
	x.changes = make(chan struct{})
	if before != nil {
		x.remove(*before)
	}
	if after != nil {
		x.insert(*after)
	}
}

// OnChange calls changed after every change of a webhook: with the webhook as it is now, or as it was last.
func (x *WebhookIndex) OnChange(changed func(*v1alpha1.Webhook)) {
	x.Subscribe(func(before, after **v1alpha1.Webhook) {
		if after == nil {
			after = before
		}
		changed(*after)
	})
}

// OnDelete calls deleted after every deletion of a webhook, also if another one has its name now.
func (x *WebhookIndex) OnDelete(deleted func(*v1alpha1.Webhook)) {
	x.Subscribe(func(before, after **v1alpha1.Webhook) {
		if before != nil && (after == nil || (*after).UID != (*before).UID) {
			deleted(*before)
		}
	})
}

func (x *WebhookIndex) insert(webhook *v1alpha1.Webhook) {
	n := x.namespaces[webhook.Namespace]
	if n == nil {
		n = &namespaceWebhooks{
			byID: map[string]*v1alpha1.Webhook{}, byUID: map[types.UID]*v1alpha1.Webhook{},
			byPattern: map[string]map[types.UID]*v1alpha1.Webhook{},
		}
		x.namespaces[webhook.Namespace] = n
	}
	n.byID[WebhookID(webhook)] = webhook
	n.byUID[webhook.UID] = webhook
	for _, pattern := range webhook.Spec.Events {
		if n.byPattern[pattern] == nil {
			n.byPattern[pattern] = map[types.UID]*v1alpha1.Webhook{}
		}
		n.byPattern[pattern][webhook.UID] = webhook
	}
}

func (x *WebhookIndex) remove(webhook *v1alpha1.Webhook) {
	n := x.namespaces[webhook.Namespace]
	delete(n.byID, WebhookID(webhook))
	delete(n.byUID, webhook.UID)
	for _, pattern := range webhook.Spec.Events {
		delete(n.byPattern[pattern], webhook.UID)
		if len(n.byPattern[pattern]) == 0 {
			delete(n.byPattern, pattern)
		}
	}
	if len(n.byID) == 0 {
		delete(x.namespaces, webhook.Namespace)
	}
}

// viewNamespace calls f with the webhooks of a namespace, if it has any, while nothing changes.
func (x *WebhookIndex) viewNamespace(namespace string, f func(*namespaceWebhooks)) {
	x.View(func() {
		if n := x.namespaces[namespace]; n != nil {
			f(n)
		}
	})
}

// FindByID returns the webhook with this id; nil: there is none in the namespace.
func (x *WebhookIndex) FindByID(namespace, id string) (found *v1alpha1.Webhook) {
	x.viewNamespace(namespace, func(n *namespaceWebhooks) { found = n.byID[id] })
	return found
}

// FindByUID returns the webhook with this UID; nil: there is none in the namespace.
func (x *WebhookIndex) FindByUID(namespace string, uid types.UID) (found *v1alpha1.Webhook) {
	x.viewNamespace(namespace, func(n *namespaceWebhooks) { found = n.byUID[uid] })
	return found
}

// FindByName returns the webhook with this name; nil: there is none.
func (x *WebhookIndex) FindByName(namespace, name string) *v1alpha1.Webhook {
	webhook, _ := x.Get(types.NamespacedName{Namespace: namespace, Name: name})
	return webhook
}

// AwaitState returns the webhook with this id once done accepts it, or as it is when ctx ends; nil: it is gone.
func (x *WebhookIndex) AwaitState(ctx context.Context, namespace, id string, done func(*v1alpha1.Webhook) bool) *v1alpha1.Webhook {
	for {
		var news chan struct{}
		x.View(func() { news = x.changes })
		found := x.FindByID(namespace, id)
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

// List returns the webhooks of a namespace, by name.
func (x *WebhookIndex) List(namespace string) (all []*v1alpha1.Webhook) {
	x.viewNamespace(namespace, func(n *namespaceWebhooks) { all = slices.Collect(maps.Values(n.byID)) })
	slices.SortFunc(all, func(a, b *v1alpha1.Webhook) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// NamesByUID returns the names of all webhooks by their UIDs.
func (x *WebhookIndex) NamesByUID() map[types.UID]types.NamespacedName {
	names := map[types.UID]types.NamespacedName{}
	x.View(func() {
		for _, n := range x.namespaces {
			for uid, webhook := range n.byUID {
				names[uid] = types.NamespacedName{Namespace: webhook.Namespace, Name: webhook.Name}
			}
		}
	})
	return names
}

// ListMatching returns the webhooks of a namespace that match an event type, the oldest first.
func (x *WebhookIndex) ListMatching(namespace, eventType string) (wanted []*v1alpha1.Webhook) {
	x.viewNamespace(namespace, func(n *namespaceWebhooks) {
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
	return slices.Compact(wanted) // some match by several patterns
}

// WebhookID is the webhook_id of a Webhook.
func WebhookID(webhook *v1alpha1.Webhook) string {
	return identity.WebhookID(webhook.Namespace, webhook.Name)
}
