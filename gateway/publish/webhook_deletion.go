// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

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
	d.forgetUID(webhook.uid)
	d.limiter.forgetWebhook(webhook)
}

// forgetUID drops what is kept by the UID of a webhook alone.
func (d *deletionSweeper) forgetUID(webhook types.UID) {
	d.secrets.Forget(webhook)
	d.recorder.forgetWebhook(webhook)
	d.unstored.forgetWebhook(webhook)
}

// sweep forgets webhooks that left state behind after their deletion, for example by attempts that were under way, and
// those that never existed: deliveries made by hand can name any webhook and any owner. The webhooks with state are
// listed before those that exist: so no state of a new webhook is dropped.
func (d *deletionSweeper) sweep() {
	uids := slices.Concat(d.secrets.Known(), d.recorder.knownWebhooks(), d.unstored.knownWebhooks())
	keys := d.limiter.knownWebhooks()
	names := d.webhooks.NamesByUID()
	slices.Sort(uids)
	for _, uid := range slices.Compact(uids) {
		if _, exists := names[uid]; !exists {
			d.forgetUID(uid)
		}
	}
	for _, key := range keys {
		if name, exists := names[key.uid]; !exists || name.Namespace != key.namespace || name.Name != key.name {
			d.limiter.forgetWebhook(key)
		}
	}
}
