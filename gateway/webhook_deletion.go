// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// forget drops what is known of a webhook that is gone, its secret first of all.
func (g *Gateway) forget(webhook webhookKey) {
	g.firsts.signer.Forget(webhook.uid)
	g.firsts.slots.forget(webhook)
	g.records.forget(webhook.uid)
	g.unstored.forget(webhook.uid)
}

// forgetGone does so for webhooks of which something was noted after they were gone,
// as by attempts that were under way. What is known comes first, and what exists
// then: so nothing is dropped of a webhook that is new.
func (g *Gateway) forgetGone() {
	known := map[webhookKey]struct{}{}
	for _, uid := range slices.Concat(g.firsts.signer.Known(), g.records.known(), g.unstored.known()) {
		known[webhookKey{uid: uid}] = struct{}{}
	}
	for _, key := range g.firsts.slots.known() {
		known[key] = struct{}{}
	}
	live := map[types.UID]bool{}
	g.endpoints.View(func() {
		for _, n := range g.endpoints.namespaces {
			for uid := range n.byUID {
				live[uid] = true
			}
		}
	})
	for key := range known {
		if !live[key.uid] {
			g.forget(key)
		}
	}
}

func (s *slots) known() []webhookKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.AppendSeq(slices.Collect(maps.Keys(s.hooks)), maps.Keys(s.told))
}

func (r *records) known() []types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.hooks))
}

func (u *unstored) known() (webhooks []types.UID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for element := u.oldest.Front(); element != nil; element = element.Next() {
		webhooks = append(webhooks, attemptIn(element).flight.draft.webhook.UID)
	}
	return webhooks
}
