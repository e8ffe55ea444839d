// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"testing"

	"bbmcp.quietstack.com/webhooks/dashboard"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

func TestSubscribersGetOneNoticeOfTheirTopic(t *testing.T) {
	n := newBroadcaster()
	orders := identity.WebhookID("shop", "orders")
	whole, _ := n.subscribe("shop", dashboard.Topic{})
	webhook, stop := n.subscribe("shop", dashboard.Topic{Webhook: orders})
	delivery, _ := n.subscribe("shop", dashboard.Topic{Delivery: "dlv_1"})
	elsewhere, _ := n.subscribe("other", dashboard.Topic{})
	heard := func() (names string) {
		for name, followed := range map[string]<-chan struct{}{"whole": whole, "webhook": webhook, "delivery": delivery, "elsewhere": elsewhere} {
			select {
			case <-followed:
				names += name + " "
			default:
			}
		}
		return names
	}
	expect := func(what string, want ...string) {
		t.Helper()
		got, length := heard(), 0
		for _, name := range want {
			length += len(name) + 1
		}
		if len(got) != length {
			t.Errorf("%s: heard by %q, want %q", what, got, want)
		}
	}
	for range 5 {
		n.notify("shop", "orders", "dlv_1")
	}
	expect("five changes of a delivery", "whole", "webhook", "delivery")
	expect("nothing", []string{}...)
	n.notify("shop", "orders", "dlv_2")
	expect("another delivery", "whole", "webhook")
	n.notify("shop", "other", "")
	expect("another webhook", "whole")
	stop()
	n.notify("shop", "orders", "")
	expect("a webhook that nobody follows any more", "whole")
	if len(n.subscribers) != 2 {
		t.Errorf("%d namespaces are followed", len(n.subscribers))
	}
}
