// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"slices"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
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

// showWebhookForm shows the form of a webhook, with the catalogue next to it.
func (v *visit) showWebhookForm(name string, status int, form webhookForm) error {
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
	v.d.renderPageFor(v.w, v.request, status, name, l)
	return nil
}

// readWebhookForm reads the posted form, with the line ends of browsers normalised.
func (v *visit) readWebhookForm() webhookForm {
	value := func(name string) string {
		return strings.ReplaceAll(v.request.PostFormValue(name), "\r\n", "\n")
	}
	return webhookForm{
		ID: v.id(), Name: strings.TrimSpace(value("name")), URL: strings.TrimSpace(value("url")),
		Events: value("events"), Description: value("description"), ETag: value("etag"),
	}
}

// parseWebhookFormEvents splits event types at line ends, commas and spaces.
func parseWebhookFormEvents(text string) []string {
	events := []string{}
	for event := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' || r == ' ' || r == '\t' }) {
		events = append(events, event)
	}
	return events
}
