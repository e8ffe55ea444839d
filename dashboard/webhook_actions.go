// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"crypto/rand"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// confirmView asks for confirmation before an action that cannot be undone.
type confirmView struct {
	Webhook rest.Webhook
	Key     string // makes repeating the form harmless
	Overlap string
	Waiting int
}

func (v *visit) suspendWebhook() error {
	_, err := v.api.SuspendWebhook(v.ctx(), v.id())
	return v.redirectToWebhook(err, "suspended")
}

func (v *visit) resumeWebhook() error {
	_, err := v.api.ResumeWebhook(v.ctx(), v.id())
	return v.redirectToWebhook(err, "resumed")
}

func (v *visit) enableWebhook() error {
	_, err := v.api.EnableWebhook(v.ctx(), v.id())
	return v.redirectToWebhook(err, "enabled")
}

// redirectToWebhook redirects to the webhook after an action.
func (v *visit) redirectToWebhook(err error, done string) error {
	if err != nil {
		return err
	}
	return v.redirect("/webhooks/"+v.id(), done)
}

func (v *visit) showActionConfirmation(page, title string) error {
	webhook, err := v.api.GetWebhook(v.ctx(), v.id())
	if err != nil {
		return err
	}
	rights := v.findWebhookRights(webhook.Name)
	if page == "rotate" && !rights.Rotate || page == "delete" && !rights.Delete {
		return newForbiddenPageError(page+" this webhook", "bbmcp-editor")
	}
	settings, err := v.d.backend.Settings(v.ctx(), v.namespace, v.id())
	if err != nil {
		return err
	}
	view := confirmView{Webhook: webhook.Webhook, Key: rand.Text()}
	if settings.Overlap > 0 {
		view.Overlap = formatDuration(settings.Overlap)
	}
	if health, err := v.d.backend.Health(v.ctx(), v.namespace, v.id()); err == nil {
		view.Waiting = health[v.id()].Waiting
	}
	return v.showPage(page, layout{Title: title + webhook.Name, Nav: "webhooks", Body: view})
}

func (v *visit) confirmRotateAction() error {
	return v.showActionConfirmation("rotate", "New secret for ")
}

func (v *visit) confirmDeleteAction() error { return v.showActionConfirmation("delete", "Delete ") }

func (v *visit) deleteWebhook() error {
	if err := v.api.DeleteWebhook(v.ctx(), v.id()); err != nil {
		return err
	}
	return v.redirect("/webhooks", "deleted")
}
