// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"encoding/json"
	"net/http"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/match"
)

// testEventView is the form that sends a test event.
type testEventView struct {
	Webhook rest.Webhook
	Types   []rest.EventType // that the caller may publish
	Chosen  rest.EventType
	Data    string
	Error   *pageError
}

// Wrong is the error in the data; "": none.
func (f testEventView) Wrong() string {
	if f.Error == nil {
		return ""
	}
	return f.Error.Detail
}

// maxTestTypes bounds the event types whose right is checked.
const maxTestTypes = 200

func (v *visit) showTestEvent() error {
	view, err := v.newTestEventView(v.request.URL.Query().Get("event"))
	if err != nil {
		return err
	}
	return v.showPage("test", layout{Title: "Test " + view.Webhook.Name, Nav: "webhooks", Body: view})
}

// newTestEventView fills in the example of the chosen event type, or of the first one that the
// webhook selects.
func (v *visit) newTestEventView(chosen string) (testEventView, error) {
	webhook, err := v.api.GetWebhook(v.ctx(), v.id())
	if err != nil {
		return testEventView{}, err
	}
	view := testEventView{Webhook: webhook.Webhook, Types: v.listPublishableEventTypes(maxTestTypes)}
	if len(view.Types) == 0 {
		return testEventView{}, newForbiddenPageError("publish events, which sending a test is", "bbmcp-publisher")
	}
	view.Chosen = view.Types[0]
	for _, eventType := range view.Types {
		if eventType.Type == chosen || chosen == "" && match.Matches(webhook.Events, eventType.Type) {
			view.Chosen = eventType
			break
		}
	}
	view.Data = indentJSON(view.Chosen.Example)
	return view, nil
}

func (v *visit) sendTestEvent() error {
	event, data := v.request.PostFormValue("event"), strings.ReplaceAll(v.request.PostFormValue("data"), "\r\n", "\n")
	refused := func(t *pageError) error {
		view, err := v.newTestEventView(event)
		if err != nil {
			return err
		}
		view.Data, view.Error = data, t
		l := layout{
			Title: "Error: Test " + view.Webhook.Name, Nav: "webhooks", Body: view,
			Caller: v.caller, Namespace: v.namespace, ByProxy: v.fromProxy, Base: v.basePath(),
		}
		v.d.renderPageFor(v.w, v.request, t.Status, "test", l)
		return nil
	}
	var raw json.RawMessage
	if strings.TrimSpace(data) != "" {
		if !json.Valid([]byte(data)) {
			return refused(&pageError{Status: http.StatusUnprocessableEntity, Title: "This is no JSON", Detail: jsonError(data)})
		}
		raw = json.RawMessage(data)
	}
	delivery, err := v.api.TestWebhook(v.ctx(), v.id(), event, raw)
	if err != nil {
		if t := newPageError(err); t.isFormError() {
			return refused(t)
		}
		return err
	}
	switch { // to the first page that the caller may see
	case v.may("get", "webhookdeliveries", ""):
		return v.redirect("/deliveries/"+delivery.DeliveryID, "tested")
	case v.may("get", "webhooks", ""):
		return v.redirect("/webhooks/"+v.id(), "sent")
	}
	return v.redirect("/event-types", "sent")
}
