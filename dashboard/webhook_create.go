// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

func (v *visit) showNewWebhook() error {
	if !v.may("create", "webhooks", "") || !v.may("create", "secrets", "") {
		return newForbiddenPageError("create webhooks", "bbmcp-editor")
	}
	return v.showWebhookForm("new", http.StatusOK, webhookForm{Events: "*", Settings: newSettingInputs(nil)})
}

func (v *visit) createWebhook() error {
	form := v.readWebhookForm()
	form.Settings = readSettingInputs(v.request.PostForm, nil)
	body := rest.WebhookCreate{
		Name: form.Name, URL: form.URL, Events: parseWebhookFormEvents(form.Events), Description: form.Description,
		Secret: v.request.PostFormValue("secret"),
	}
	var created *client.Webhook
	var err error
	if body.SettingsChange, _, err = diffSettings(form.Settings, nil); err == nil {
		created, err = v.api.CreateWebhook(v.ctx(), body)
	}
	if err != nil {
		form.Error = newPageError(err)
		if !form.Error.isFormError() {
			return err
		}
		return v.showWebhookForm("new", form.Error.Status, form)
	}
	return v.showWebhookSecret(webhookSecretView{Webhook: created.Webhook, Secret: textFrom(created.Secret)})
}
