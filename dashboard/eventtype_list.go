// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/match"
)

// eventTypesView is the content of the catalogue's page.
type eventTypesView struct {
	Types []eventTypeRow
	// NoWebhooks: the caller may not see the webhooks that select the types.
	NoWebhooks bool
	MayCreate  bool
}

// eventTypeRow is an event type and the webhooks that select it.
type eventTypeRow struct {
	rest.EventType

	ShownSchema, ShownExample jsonPart
	Subscribers               []webhookRow
	// MoreSubscribers is the number of further webhooks.
	MoreSubscribers int
}

// maxSubscribers bounds the webhooks that are named for an event type.
const maxSubscribers = 20

// listEventTypes lists the catalogue, which belongs to no namespace.
func (v *visit) listEventTypes() (*rest.EventTypeList, error) {
	return v.api.InNamespace("").ListEventTypes(v.ctx())
}

func (v *visit) showEventTypes() error {
	types, err := v.listEventTypes()
	if err != nil {
		return err
	}
	var view eventTypesView
	webhooks, err := v.listAllWebhooks()
	if err != nil {
		view.NoWebhooks = true
	}
	view.MayCreate = v.may("create", "webhooks", "") && v.may("create", "secrets", "")
	room := maxShownCatalogue
	for _, eventType := range types.Data {
		row := eventTypeRow{EventType: eventType, ShownExample: limitJSON(eventType.Example, &room), ShownSchema: limitJSON(eventType.Schema, &room)}
		for _, webhook := range webhooks {
			switch {
			case !match.Matches(webhook.Events, eventType.Type):
			case len(row.Subscribers) == maxSubscribers:
				row.MoreSubscribers++
			default:
				row.Subscribers = append(row.Subscribers, webhookRow{Webhook: webhook, State: webhookState(webhook)})
			}
		}
		view.Types = append(view.Types, row)
	}
	return v.showPage("event-types", layout{Title: "Event types", Nav: "event-types", Body: view})
}

// listPublishableEventTypes lists event types that the caller may publish, at most as many as given.
func (v *visit) listPublishableEventTypes(most int) (types []rest.EventType) {
	list, err := v.listEventTypes()
	if err != nil {
		return nil
	}
	for _, eventType := range list.Data {
		if len(types) == most {
			break
		}
		if v.may("publish", "eventtypes", eventType.Type) {
			types = append(types, eventType)
		}
	}
	return types
}
