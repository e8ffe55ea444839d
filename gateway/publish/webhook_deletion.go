// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"slices"

	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// deletionSweeper drops the state of deleted webhooks, wherever the gateway keeps any.
type deletionSweeper struct {
	webhooks *store.WebhookIndex
	secrets  *signingsecret.Reader
	limiter  *limiter
	recorder *recorder
	unstored *unstoredAttempts
}

// forget drops the state of a deleted webhook, its secret first of all.
func (d *deletionSweeper) forget(webhook webhookKey) {
	d.secrets.Forget(webhook.uid)
	d.limiter.forgetWebhook(webhook)
	d.recorder.forgetWebhook(webhook.uid)
	d.unstored.forgetWebhook(webhook.uid)
}

// sweep forgets webhooks that left state behind after their deletion, for example by attempts that were under way. The
// webhooks with state are listed before those that exist: so no state of a new webhook is dropped.
func (d *deletionSweeper) sweep() {
	known := map[webhookKey]struct{}{}
	for _, uid := range slices.Concat(d.secrets.Known(), d.recorder.knownWebhooks(), d.unstored.knownWebhooks()) {
		known[webhookKey{uid: uid}] = struct{}{}
	}
	for _, key := range d.limiter.knownWebhooks() {
		known[key] = struct{}{}
	}
	live := d.webhooks.UIDs()
	for key := range known {
		if !live[key.uid] {
			d.forget(key)
		}
	}
}
