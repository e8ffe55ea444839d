// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

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

func (v *visit) rotateWebhookSecret() error {
	settings, err := v.d.backend.Settings(v.ctx(), v.namespace, v.id())
	if err != nil {
		return err
	}
	rotated, err := v.rotateWebhookSecretOnce(v.request.PostFormValue("key"))
	if err != nil {
		return err
	}
	view := webhookSecretView{Webhook: rotated.Webhook, Secret: textFrom(rotated.Secret), Rotated: true}
	if settings.Overlap > 0 {
		view.Overlap = formatDuration(settings.Overlap)
	}
	return v.showWebhookSecret(view)
}

// rotateWebhookSecretOnce rotates with the form's idempotency key, so that a repeated post has no
// effect.
func (v *visit) rotateWebhookSecretOnce(key string) (*client.Webhook, error) {
	if key == "" {
		return nil, &pageError{Status: http.StatusUnprocessableEntity, Title: "This form is incomplete", Advice: "Go back to the webhook and rotate from there."}
	}
	return v.api.RotateSecretOnce(v.ctx(), v.id(), key)
}
