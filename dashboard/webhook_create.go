// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"slices"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

// webhookForm is the form for a new webhook or a change.
type webhookForm struct {
	ID, Name, URL, Events, Description, ETag string

	Settings []settingInput

	Base  string // of the namespace's pages
	Types []rest.EventType
	Error *pageError
	Was   rest.Webhook
}

// OpenSettings reports whether the form shows its settings at once: one is wrong, or
// differs from the default.
func (f webhookForm) OpenSettings() bool {
	return slices.ContainsFunc(f.Settings, func(s settingInput) bool {
		return s.Wrong != "" || s.Value != "" && s.Value != s.Standard
	})
}

// Wrong is the error of a field; "": none.
func (f webhookForm) Wrong(field string) string { return f.Error.fieldDetail(field) }

// secretView shows a new secret, once.
type secretView struct {
	Webhook rest.Webhook
	Secret  string
	Rotated bool
	Overlap string // for how long the old secret signs too; "": it does not
}

func (v *visit) showNewWebhook() error {
	if !v.may("create", "webhooks", "") || !v.may("create", "secrets", "") {
		return newForbidden("create webhooks", "bbmcp-editor")
	}
	return v.showForm("new", http.StatusOK, webhookForm{Events: "*", Settings: newSettingInputs(nil)})
}

// showForm shows the form of a webhook, with the catalogue next to it.
func (v *visit) showForm(name string, status int, form webhookForm) error {
	types, err := v.listEventTypes()
	if err != nil {
		return err
	}
	form.Types, form.Base = types.Data, v.basePath()
	for i := range form.Settings {
		form.Settings[i].Wrong = form.Wrong(form.Settings[i].Member)
	}
	title := "New webhook"
	if name == "edit" {
		title = "Edit " + form.Was.Name
	}
	if form.Error != nil {
		title = "Error: " + title
	}
	l := layout{
		Title: title, Nav: "webhooks", Body: form,
		Caller: v.caller, Namespace: v.namespace, ByProxy: v.fromProxy, Base: v.basePath(),
	}
	v.d.renderFor(v.w, v.request, status, name, l)
	return nil
}

func (v *visit) createWebhook() error {
	form := v.readForm()
	form.Settings = readSettings(v.request.PostForm, nil)
	body := rest.WebhookCreate{
		Name: form.Name, URL: form.URL, Events: parseEventTypes(form.Events), Description: form.Description,
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
		return v.showForm("new", form.Error.Status, form)
	}
	return v.showSecret(secretView{Webhook: created.Webhook, Secret: textFrom(created.Secret)})
}

// readForm reads the posted form, with the line ends of browsers normalised.
func (v *visit) readForm() webhookForm {
	value := func(name string) string {
		return strings.ReplaceAll(v.request.PostFormValue(name), "\r\n", "\n")
	}
	return webhookForm{
		ID: v.id(), Name: strings.TrimSpace(value("name")), URL: strings.TrimSpace(value("url")),
		Events: value("events"), Description: value("description"), ETag: value("etag"),
	}
}

// parseEventTypes splits event types at line ends, commas and spaces.
func parseEventTypes(text string) []string {
	events := []string{}
	for event := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' || r == ' ' || r == '\t' }) {
		events = append(events, event)
	}
	return events
}

// isFormError reports whether the form can show the error next to the input, so that it
// can be corrected.
func (t *pageError) isFormError() bool {
	switch t.Status {
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusConflict, http.StatusPreconditionFailed, http.StatusTooManyRequests:
		return true
	}
	return false
}

// showSecret shows a secret in the response to the post itself: a redirect would have to
// carry the secret. The script replaces the history entry by the webhook's own address, so
// that neither reloading nor going back repeats the post.
func (v *visit) showSecret(view secretView) error {
	title := "Webhook " + view.Webhook.Name + " created"
	if view.Rotated {
		title = "New secret of " + view.Webhook.Name
	}
	return v.show("secret", layout{Title: title, Nav: "webhooks", Body: view})
}

func newForbidden(what, role string) *pageError {
	return &pageError{
		Status: http.StatusForbidden, Title: "You may not " + what + " here",
		Advice: "The role " + role + " gives that right. Ask whoever runs the namespace for it; it takes effect within 10 seconds.",
	}
}
