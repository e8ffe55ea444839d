// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"

	"bbmcp.quietstack.com/webhooks/dashboard"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

// broadcaster tells subscribed pages that an object of theirs has changed. All pages share
// the gateway's one watch; a change costs a map look-up where no page has subscribed.
type broadcaster struct {
	mu          sync.Mutex
	subscribers map[string]map[*subscriber]bool // by namespace
}

// subscriber is one page. Its channel holds at most one value, so a slow page gets one
// notice for any number of changes.
type subscriber struct {
	topic   dashboard.Topic
	changed chan struct{}
}

func newBroadcaster() *broadcaster {
	return &broadcaster{subscribers: map[string]map[*subscriber]bool{}}
}

// subscribe returns a channel of notices; stop ends the subscription.
func (b *broadcaster) subscribe(namespace string, topic dashboard.Topic) (heard <-chan struct{}, stop func()) {
	s := &subscriber{topic: topic, changed: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subscribers[namespace] == nil {
		b.subscribers[namespace] = map[*subscriber]bool{}
	}
	b.subscribers[namespace][s] = true
	return s.changed, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subscribers[namespace], s)
		if len(b.subscribers[namespace]) == 0 {
			delete(b.subscribers, namespace)
		}
	}
}

// notify sends a notice to the subscribers of a webhook and a delivery. It never waits.
// delivery is empty if the webhook itself has changed.
func (b *broadcaster) notify(namespace, webhook, delivery string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.subscribers[namespace]) == 0 {
		return
	}
	id := identity.WebhookID(namespace, webhook)
	for s := range b.subscribers[namespace] {
		if s.topic.Webhook != "" && s.topic.Webhook != id || s.topic.Delivery != "" && s.topic.Delivery != delivery {
			continue
		}
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}
