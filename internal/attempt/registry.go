// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// registry has the webhooks that the runner knows, their namespaces and their
// destinations.
type registry struct {
	webhooks     map[types.NamespacedName]*webhook
	namespaces   map[string]*namespace
	destinations map[string]*destination
	shares       endpoint.Shares // of each destination
}

func newRegistry(perDestination int) registry {
	return registry{
		webhooks:     map[types.NamespacedName]*webhook{},
		namespaces:   map[string]*namespace{},
		destinations: map[string]*destination{},
		shares:       endpoint.NewShares(perDestination).WithBusy(7),
	}
}

// webhook returns the webhook of that name, a new one if need be.
func (r *registry) webhook(key types.NamespacedName) *webhook {
	if h := r.webhooks[key]; h != nil {
		return h
	}
	space := r.namespaces[key.Namespace]
	if space == nil {
		space = &namespace{name: key.Namespace}
		r.namespaces[key.Namespace] = space
	}
	space.webhookCount++
	h := &webhook{key: key, namespace: space, tracker: endpoint.NewTracker(), state: endpoint.Unproven}
	h.node.value, h.waitNode.value = h, h
	h.hold.index = -1
	r.webhooks[key] = h
	return h
}

// dropWebhook removes a webhook that nothing is left of. It reports whether it was
// the last one of its namespace, which is removed with it.
func (r *registry) dropWebhook(h *webhook) (last bool) {
	delete(r.webhooks, h.key)
	h.namespace.webhookCount--
	if last = h.namespace.webhookCount == 0; last {
		delete(r.namespaces, h.key.Namespace)
	}
	if h.destination != nil {
		h.destination.webhookCount--
		r.dropDestination(h.destination)
	}
	return last
}

// destination returns the destination of that address, a new one if need be.
func (r *registry) destination(address string) *destination {
	d := r.destinations[address]
	if d == nil {
		d = &destination{address: address, slots: endpoint.NewQuota(&r.shares)}
		r.destinations[address] = d
	}
	return d
}

// dropDestination removes a destination that nothing refers to.
func (r *registry) dropDestination(d *destination) {
	if d.webhookCount == 0 && d.slots.Taken() == 0 && r.destinations[d.address] == d {
		delete(r.destinations, d.address)
	}
}
