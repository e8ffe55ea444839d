// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"crypto/rand"
	"net/http"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

// confirmView asks before something that cannot be undone.
type confirmView struct {
	Webhook rest.Webhook
	Key     string // makes repeating the form harmless
	Overlap string
	Waiting int
}

func (v *visit) suspend() error {
	_, err := v.api.SuspendWebhook(v.ctx(), v.id())
	return v.then(err, "suspended")
}

func (v *visit) resume() error {
	_, err := v.api.ResumeWebhook(v.ctx(), v.id())
	return v.then(err, "resumed")
}

func (v *visit) enable() error {
	_, err := v.api.EnableWebhook(v.ctx(), v.id())
	return v.then(err, "enabled")
}

// then goes back to the webhook.
func (v *visit) then(err error, done string) error {
	if err != nil {
		return err
	}
	return v.redirect("/webhooks/"+v.id(), done)
}

func (v *visit) confirm(page, title string) error {
	webhook, err := v.api.GetWebhook(v.ctx(), v.id())
	if err != nil {
		return err
	}
	rights := v.rightsTo(webhook.Name)
	if page == "rotate" && !rights.Rotate || page == "delete" && !rights.Delete {
		return mayNot(page+" this webhook", "bbmcp-editor")
	}
	settings, err := v.d.backend.Settings(v.ctx(), v.namespace, v.id())
	if err != nil {
		return err
	}
	view := confirmView{Webhook: webhook.Webhook, Key: rand.Text()}
	if settings.Overlap > 0 {
		view.Overlap = shownDuration(settings.Overlap)
	}
	if health, err := v.d.backend.Health(v.ctx(), v.namespace, v.id()); err == nil {
		view.Waiting = health[v.id()].Waiting
	}
	return v.show(page, layout{Title: title + webhook.Name, Nav: "webhooks", Body: view})
}

func (v *visit) showRotate() error { return v.confirm("rotate", "New secret for ") }

func (v *visit) showDelete() error { return v.confirm("delete", "Delete ") }

func (v *visit) rotate() error {
	settings, err := v.d.backend.Settings(v.ctx(), v.namespace, v.id())
	if err != nil {
		return err
	}
	rotated, err := v.rotateOnce(v.request.PostFormValue("key"))
	if err != nil {
		return err
	}
	view := secretView{Webhook: rotated.Webhook, Secret: textOf(rotated.Secret), Rotated: true}
	if settings.Overlap > 0 {
		view.Overlap = shownDuration(settings.Overlap)
	}
	return v.showSecret(view)
}

// rotateOnce does nothing more when a browser sends the form again: the key is
// that of the form.
func (v *visit) rotateOnce(key string) (*client.Webhook, error) {
	if key == "" {
		return nil, &trouble{Status: http.StatusUnprocessableEntity, Title: "This form is incomplete", Advice: "Go back to the webhook and rotate from there."}
	}
	return v.api.RotateSecretOnce(v.ctx(), v.id(), key)
}

func (v *visit) delete() error {
	if err := v.api.DeleteWebhook(v.ctx(), v.id()); err != nil {
		return err
	}
	return v.redirect("/webhooks", "deleted")
}
