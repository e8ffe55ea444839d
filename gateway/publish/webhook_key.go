// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// webhookKey identifies one Webhook. A delivery counts only for the Webhook of its own namespace with the name in its
// spec and the UID of its owner: anyone who may write deliveries can put another UID or another name into them.
type webhookKey struct {
	namespace, name string
	uid             types.UID
}

func newWebhookKey(webhook *v1alpha1.Webhook) webhookKey {
	return webhookKey{namespace: webhook.Namespace, name: webhook.Name, uid: webhook.UID}
}
