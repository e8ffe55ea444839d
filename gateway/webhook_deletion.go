// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// forgetWebhook drops the state of a deleted webhook, its secret first of all.
func (g *Gateway) forgetWebhook(webhook webhookKey) {
	g.attempter.secrets.Forget(webhook.uid)
	g.attempter.limiter.forgetWebhook(webhook)
	g.recorder.forgetWebhook(webhook.uid)
	g.unstored.forgetWebhook(webhook.uid)
}

// forgetDeletedWebhooks does so for webhooks that left state behind after their deletion, for example by attempts that
// were under way. The webhooks with state are listed before those that exist: so no state of a new webhook is dropped.
func (g *Gateway) forgetDeletedWebhooks() {
	known := map[webhookKey]struct{}{}
	for _, uid := range slices.Concat(g.attempter.secrets.Known(), g.recorder.knownWebhooks(), g.unstored.knownWebhooks()) {
		known[webhookKey{uid: uid}] = struct{}{}
	}
	for _, key := range g.attempter.limiter.knownWebhooks() {
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

func (l *limiter) knownWebhooks() []webhookKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.AppendSeq(slices.Collect(maps.Keys(l.endpoints)), maps.Keys(l.observations))
}

func (r *recorder) knownWebhooks() []types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.webhooks))
}

func (u *unstoredAttempts) knownWebhooks() (webhooks []types.UID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for element := u.byAge.Front(); element != nil; element = element.Next() {
		webhooks = append(webhooks, unstoredAttemptIn(element).attempt.draft.webhook.UID)
	}
	return webhooks
}
