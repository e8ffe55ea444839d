// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// forgetWebhook drops what is known of a webhook that is gone, its secret first of all.
func (g *Gateway) forgetWebhook(webhook webhookKey) {
	g.attempter.signer.Forget(webhook.uid)
	g.attempter.slots.forget(webhook)
	g.recorder.forget(webhook.uid)
	g.unstored.forget(webhook.uid)
}

// forgetDeletedWebhooks does so for webhooks of which something was noted after they were gone,
// as by attempts that were under way. What is known comes first, and what exists
// then: so nothing is dropped of a webhook that is new.
func (g *Gateway) forgetDeletedWebhooks() {
	known := map[webhookKey]struct{}{}
	for _, uid := range slices.Concat(g.attempter.signer.Known(), g.recorder.known(), g.unstored.known()) {
		known[webhookKey{uid: uid}] = struct{}{}
	}
	for _, key := range g.attempter.slots.known() {
		known[key] = struct{}{}
	}
	live := map[types.UID]bool{}
	g.webhooks.View(func() {
		for _, n := range g.webhooks.namespaces {
			for uid := range n.byUID {
				live[uid] = true
			}
		}
	})
	for key := range known {
		if !live[key.uid] {
			g.forgetWebhook(key)
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
