// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"slices"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

func (v *visit) showEdit() error {
	webhook, err := v.api.GetWebhook(v.ctx(), v.id())
	if err != nil {
		return err
	}
	if !v.may("patch", "webhooks", webhook.Name) {
		return mayNot("change this webhook", "bbmcp-editor")
	}
	return v.showForm("edit", http.StatusOK, webhookForm{
		ID: webhook.WebhookID, Name: webhook.Name, URL: webhook.URL, Events: strings.Join(webhook.Events, "\n"),
		Description: textOf(webhook.Description), Settings: settingInputs(&webhook.Webhook), ETag: webhook.ETag, Was: webhook.Webhook,
	})
}

// edit sends only what was changed: a field that somebody else owns, as Argo CD
// does, is no hindrance to changing the others.
func (v *visit) edit() error {
	form := v.readForm()
	was, err := v.api.GetWebhook(v.ctx(), v.id())
	if err != nil {
		return err
	}
	form.Was, form.Name = was.Webhook, was.Name
	form.Settings = typedSettings(v.request.PostForm, &was.Webhook)
	change, err := v.changes(form)
	if err == nil && change == nil {
		return v.redirect("/webhooks/"+v.id(), "")
	}
	if err == nil {
		_, err = v.api.UpdateWebhook(v.ctx(), v.id(), form.ETag, *change)
	}
	if err != nil {
		form.Trouble = problemOf(err)
		if !form.Trouble.isOfForm() {
			return err
		}
		if form.Trouble.Status == http.StatusPreconditionFailed {
			form.ETag = was.ETag // whoever sends the form again has seen what it is now
			form.Trouble.Advice = "Nothing was saved. Below is what you typed, beside what it is now. Save again to replace that."
		}
		return v.showForm("edit", form.Trouble.Status, form)
	}
	return v.redirect("/webhooks/"+v.id(), "changed")
}

// changes are what was typed otherwise than it was; nil: nothing.
func (v *visit) changes(form webhookForm) (*rest.WebhookUpdate, error) {
	was := form.Was
	var change rest.WebhookUpdate
	var err error
	if change.SettingsChange, change.Defaults, err = changedSettings(form.Settings, &was); err != nil {
		return nil, err
	}
	if form.URL != was.URL {
		change.URL = &form.URL
	}
	if events := eventsOf(form.Events); !slices.Equal(events, was.Events) {
		change.Events = events
	}
	if form.Description != textOf(was.Description) {
		change.Description = &form.Description
	}
	settings := change.RetryPolicy != nil || change.DeliveryDeadline != nil || change.Overflow != nil || change.Retention != nil
	if change.URL == nil && change.Events == nil && change.Description == nil && !settings && len(change.Defaults) == 0 {
		return nil, nil //nolint:nilnil // nothing was changed, and nothing is wrong
	}
	return &change, nil
}
