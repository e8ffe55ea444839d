// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/match"
	"bbmcp.quietstack.com/webhooks/internal/mirror"
)

// endpoints are the webhooks, by namespace and id. What it returns is shared and
// must not be changed.
type endpoints struct {
	*mirror.Mirror[*v1alpha1.Webhook, *v1alpha1.Webhook]

	byNamespace map[string]map[string]*v1alpha1.Webhook // namespace → id → webhook
	news        chan struct{}                           // closed and replaced at every change
	followers   *news                                   // nil: nobody is told
	gone        func(types.UID)                         // called for what is deleted
}

func newEndpoints(now func() time.Time) *endpoints {
	e := &endpoints{byNamespace: map[string]map[string]*v1alpha1.Webhook{}, news: make(chan struct{}), gone: func(types.UID) {}}
	reduce := func(webhook *v1alpha1.Webhook) *v1alpha1.Webhook { return webhook }
	e.Mirror = mirror.New(reduce, e.changed, now)
	return e
}

func (e *endpoints) changed(before, after **v1alpha1.Webhook) {
	close(e.news)
	e.news = make(chan struct{})
	if before != nil && (after == nil || (*after).UID != (*before).UID) {
		e.gone((*before).UID)
	}
	if after != nil {
		e.followers.tell((*after).Namespace, (*after).Name, "")
		namespace := (*after).Namespace
		if e.byNamespace[namespace] == nil {
			e.byNamespace[namespace] = map[string]*v1alpha1.Webhook{}
		}
		e.byNamespace[namespace][idOf(*after)] = *after
		return
	}
	namespace := (*before).Namespace
	e.followers.tell(namespace, (*before).Name, "")
	delete(e.byNamespace[namespace], idOf(*before))
	if len(e.byNamespace[namespace]) == 0 {
		delete(e.byNamespace, namespace)
	}
}

// find returns the webhook with this id; nil: there is none in the namespace.
func (e *endpoints) find(namespace, id string) (found *v1alpha1.Webhook) {
	e.View(func() { found = e.byNamespace[namespace][id] })
	return found
}

// await returns the webhook with this id once it is as done says, or as it is
// when ctx ends; nil: it is gone.
func (e *endpoints) await(ctx context.Context, namespace, id string, done func(*v1alpha1.Webhook) bool) *v1alpha1.Webhook {
	for {
		var found *v1alpha1.Webhook
		var news chan struct{}
		e.View(func() { found, news = e.byNamespace[namespace][id], e.news })
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
	e.View(func() {
		for _, webhook := range e.byNamespace[namespace] {
			all = append(all, webhook)
		}
	})
	slices.SortFunc(all, func(a, b *v1alpha1.Webhook) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// matching returns the webhooks of a namespace that want an event, the oldest
// first.
func (e *endpoints) matching(namespace, eventType string) (wanted []*v1alpha1.Webhook) {
	e.View(func() {
		for _, webhook := range e.byNamespace[namespace] {
			if webhook.DeletionTimestamp.IsZero() && match.Matches(webhook.Spec.Events, eventType) {
				wanted = append(wanted, webhook)
			}
		}
	})
	slices.SortFunc(wanted, func(a, b *v1alpha1.Webhook) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	return wanted
}

func idOf(webhook *v1alpha1.Webhook) string {
	return identity.WebhookID(webhook.Namespace, webhook.Name)
}
