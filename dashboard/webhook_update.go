// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"slices"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

func (v *visit) showUpdate() error {
	webhook, err := v.api.GetWebhook(v.ctx(), v.id())
	if err != nil {
		return err
	}
	if !v.may("patch", "webhooks", webhook.Name) {
		return newForbiddenPageError("change this webhook", "bbmcp-editor")
	}
	return v.showWebhookForm("edit", http.StatusOK, webhookForm{
		ID: webhook.WebhookID, Name: webhook.Name, URL: webhook.URL, Events: strings.Join(webhook.Events, "\n"),
		Description: textFrom(webhook.Description), Settings: newSettingInputs(&webhook.Webhook), ETag: webhook.ETag, Was: webhook.Webhook,
	})
}

// updateWebhook sends only changed fields: a field with another owner, such as Argo CD,
// does not prevent changes of the others.
func (v *visit) updateWebhook() error {
	form := v.readWebhookForm()
	current, err := v.api.GetWebhook(v.ctx(), v.id())
	if err != nil {
		return err
	}
	form.Was, form.Name = current.Webhook, current.Name
	form.Settings = readSettingInputs(v.request.PostForm, &current.Webhook)
	change, err := v.diffWebhook(form)
	if err == nil && change == nil {
		return v.redirect("/webhooks/"+v.id(), "")
	}
	if err == nil {
		_, err = v.api.UpdateWebhook(v.ctx(), v.id(), form.ETag, *change)
	}
	if err != nil {
		form.Error = newPageError(err)
		if !form.Error.isFormError() {
			return err
		}
		if form.Error.Status == http.StatusPreconditionFailed {
			form.ETag = current.ETag // a caller who sends the form again has seen the present version
			form.Error.Advice = "Nothing was saved. Below is what you typed, beside what it is now. Save again to replace that."
		}
		return v.showWebhookForm("edit", form.Error.Status, form)
	}
	return v.redirect("/webhooks/"+v.id(), "changed")
}

// diffWebhook returns the fields that differ from the webhook; nil: none.
func (v *visit) diffWebhook(form webhookForm) (*rest.WebhookUpdate, error) {
	current := form.Was
	var change rest.WebhookUpdate
	var err error
	if change.SettingsChange, change.Defaults, err = diffSettings(form.Settings, &current); err != nil {
		return nil, err
	}
	if form.URL != current.URL {
		change.URL = &form.URL
	}
	if events := parseWebhookFormEvents(form.Events); !slices.Equal(events, current.Events) {
		change.Events = events
	}
	if form.Description != textFrom(current.Description) {
		change.Description = &form.Description
	}
	settings := change.RetryPolicy != nil || change.DeliveryDeadline != nil || change.Overflow != nil || change.Retention != nil
	if change.URL == nil && change.Events == nil && change.Description == nil && !settings && len(change.Defaults) == 0 {
		return nil, nil //nolint:nilnil // nothing was changed, and nothing is wrong
	}
	return &change, nil
}
