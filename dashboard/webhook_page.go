// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"slices"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// deliveriesPerPage is the number of deliveries on a page.
const deliveriesPerPage = 25

// webhookView is the content of a webhook's page.
type webhookView struct {
	webhookRow

	Settings   *Settings
	Deliveries *rest.DeliveryList
	// NoDeliveries says why there are none to see; nil: the caller may see them.
	NoDeliveries *pageError
	Filter       string // a state
	Event        string
	Events       []string // to filter by
	Next         string   // cursor of the next page; "": there is none
	First        bool     // page
	May          webhookRights
	Policy       []scheduledAttempt
}

// webhookRights are the actions that the caller may do to a webhook; the page offers only
// these.
type webhookRights struct{ Change, Delete, Rotate, Test, Retry bool }

// findWebhookRights asks for the rights that each action needs.
func (v *visit) findWebhookRights(name string) webhookRights {
	change := v.may("patch", "webhooks", name)
	secret := v.webhookSecretName(name)
	return webhookRights{
		Change: change,
		Delete: v.may("delete", "webhooks", name),
		Rotate: change && v.may("update", "secrets", secret), // what is replaced the gateway reads
		Test:   len(v.listPublishableEventTypes(1)) > 0,
		Retry:  v.may("patch", "webhookdeliveries", ""),
	}
}

func (v *visit) showWebhook() error {
	webhook, err := v.api.GetWebhook(v.ctx(), v.id())
	if err != nil {
		return err
	}
	view := webhookView{May: v.findWebhookRights(webhook.Name)}
	view.Webhook, view.State = webhook.Webhook, webhookState(webhook.Webhook)
	if view.Settings, err = v.d.backend.Settings(v.ctx(), v.namespace, v.id()); err != nil {
		return err
	}
	view.May.Rotate = view.May.Rotate && !view.Settings.UserSecret
	view.Policy = scheduledAttempts(view.Settings.Delays, view.Settings.Timeout)
	health, err := v.d.backend.Health(v.ctx(), v.namespace, webhook.WebhookID)
	if err == nil { // who may get one webhook may not be allowed to list them
		view.Health = health[webhook.WebhookID]
		view.Summary = summarizeHealth(view.Health)
	}
	if err := v.loadWebhookDeliveries(&view); err != nil {
		return err
	}
	return v.showPage("webhook", layout{
		Title: webhook.Name, Nav: "webhooks", Live: v.livePath(Topic{Webhook: v.id()}), Body: view,
	})
}

// loadWebhookDeliveries lists what the query asks for.
func (v *visit) loadWebhookDeliveries(view *webhookView) error {
	query := v.request.URL.Query()
	view.Filter, view.Event = query.Get("status"), query.Get("event")
	view.First = query.Get("cursor") == ""
	list, err := v.d.backend.Deliveries(v.ctx(), v.namespace, v.id(), DeliveryQuery{
		Status: view.Filter, Event: view.Event, Limit: deliveriesPerPage, Cursor: query.Get("cursor"),
	})
	if err != nil {
		problem := newPageError(err)
		if problem.Status != http.StatusForbidden {
			return err
		}
		view.NoDeliveries = problem
		return nil
	}
	view.Deliveries = list
	view.Next = textFrom(list.NextCursor)
	types, err := v.listEventTypes()
	if err != nil {
		return err
	}
	for _, eventType := range types.Data {
		view.Events = append(view.Events, eventType.Type)
	}
	for _, delivery := range list.Data { // of a type that is registered no more
		if !slices.Contains(view.Events, delivery.Event) {
			view.Events = append(view.Events, delivery.Event)
		}
	}
	if view.Event != "" && !slices.Contains(view.Events, view.Event) {
		view.Events = append(view.Events, view.Event)
	}
	slices.Sort(view.Events)
	return nil
}
