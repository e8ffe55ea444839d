// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"

	"bbmcp.quietstack.com/webhooks/dashboard"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

// news tells pages that something has changed. All of them hear of it from the
// one watch that the gateway has anyway; a change costs a look into a map where
// nobody follows.
type news struct {
	mu        sync.Mutex
	followers map[string]map[*follower]bool // by namespace
}

// follower is one page. Its channel holds at most one value: a page that is slow
// hears once of whatever happened.
type follower struct {
	topic dashboard.Topic
	heard chan struct{}
}

func newNews() *news { return &news{followers: map[string]map[*follower]bool{}} }

// follow begins to listen; stop ends it.
func (n *news) follow(namespace string, topic dashboard.Topic) (heard <-chan struct{}, stop func()) {
	f := &follower{topic: topic, heard: make(chan struct{}, 1)}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.followers[namespace] == nil {
		n.followers[namespace] = map[*follower]bool{}
	}
	n.followers[namespace][f] = true
	return f.heard, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.followers[namespace], f)
		if len(n.followers[namespace]) == 0 {
			delete(n.followers, namespace)
		}
	}
}

// tell is called under the lock of a watch cache, so it never waits. delivery is
// empty if the webhook itself has changed.
func (n *news) tell(namespace, webhook, delivery string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.followers[namespace]) == 0 {
		return
	}
	id := identity.WebhookID(namespace, webhook)
	for f := range n.followers[namespace] {
		if f.topic.Webhook != "" && f.topic.Webhook != id || f.topic.Delivery != "" && f.topic.Delivery != delivery {
			continue
		}
		select {
		case f.heard <- struct{}{}:
		default:
		}
	}
}
