// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"

	"bbmcp.quietstack.com/webhooks/dashboard"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

// broadcaster tells pages that something has changed. All of them hear of it from the
// one watch that the gateway has anyway; a change costs a look into a map where
// nobody follows.
type broadcaster struct {
	mu          sync.Mutex
	subscribers map[string]map[*subscriber]bool // by namespace
}

// subscriber is one page. Its channel holds at most one value: a page that is slow
// hears once of whatever happened.
type subscriber struct {
	topic   dashboard.Topic
	changed chan struct{}
}

func newBroadcaster() *broadcaster {
	return &broadcaster{subscribers: map[string]map[*subscriber]bool{}}
}

// subscribe begins to listen; stop ends it.
func (n *broadcaster) subscribe(namespace string, topic dashboard.Topic) (heard <-chan struct{}, stop func()) {
	f := &subscriber{topic: topic, changed: make(chan struct{}, 1)}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.subscribers[namespace] == nil {
		n.subscribers[namespace] = map[*subscriber]bool{}
	}
	n.subscribers[namespace][f] = true
	return f.changed, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.subscribers[namespace], f)
		if len(n.subscribers[namespace]) == 0 {
			delete(n.subscribers, namespace)
		}
	}
}

// notify is called under the lock of a watch cache, so it never waits. delivery is
// empty if the webhook itself has changed.
func (n *broadcaster) notify(namespace, webhook, delivery string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.subscribers[namespace]) == 0 {
		return
	}
	id := identity.WebhookID(namespace, webhook)
	for f := range n.subscribers[namespace] {
		if f.topic.Webhook != "" && f.topic.Webhook != id || f.topic.Delivery != "" && f.topic.Delivery != delivery {
			continue
		}
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
}
