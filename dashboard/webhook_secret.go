// SPDX-License-Identifier: Apache-2.0

package dashboard

import "bbmcp.quietstack.com/webhooks/api/rest"

// webhookSecretView shows a new secret, once.
type webhookSecretView struct {
	Webhook rest.Webhook
	Secret  string
	Rotated bool
	Overlap string // for how long the old secret signs too; "": it does not
}

// showWebhookSecret shows a secret in the response to the post itself: a redirect would have to
// carry the secret. The script replaces the history entry by the webhook's own address, so
// that neither reloading nor going back repeats the post.
func (v *visit) showWebhookSecret(view webhookSecretView) error {
	title := "Webhook " + view.Webhook.Name + " created"
	if view.Rotated {
		title = "New secret of " + view.Webhook.Name
	}
	return v.showPage("secret", layout{Title: title, Nav: "webhooks", Body: view})
}

// webhookSecretName is the name of the Secret that the controller makes for a webhook.
func (v *visit) webhookSecretName(webhook string) string { return webhook + "-signing" }
