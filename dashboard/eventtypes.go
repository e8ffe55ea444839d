// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/match"
)

// eventTypesView is the catalogue.
type eventTypesView struct {
	Types []eventTypeRow
	// NoWebhooks says that the caller may not see who subscribes.
	NoWebhooks bool
	MayCreate  bool
}

// eventTypeRow is an event type and who wants it.
type eventTypeRow struct {
	rest.EventType

	ShownSchema, ShownExample string
	Subscribers               []webhookRow
}

// catalogue lists the event types, which belong to no namespace.
func (v *visit) catalogue() (*rest.EventTypeList, error) {
	return v.api.InNamespace("").ListEventTypes(v.ctx())
}

func (v *visit) eventTypes() error {
	types, err := v.catalogue()
	if err != nil {
		return err
	}
	var view eventTypesView
	webhooks, err := v.allWebhooks()
	if err != nil {
		view.NoWebhooks = true
	}
	view.MayCreate = v.may("create", "webhooks", "") && v.may("create", "secrets", "")
	for _, eventType := range types.Data {
		row := eventTypeRow{EventType: eventType, ShownSchema: readable(eventType.Schema), ShownExample: readable(eventType.Example)}
		for _, webhook := range webhooks {
			if match.Matches(webhook.Events, eventType.Type) {
				row.Subscribers = append(row.Subscribers, webhookRow{Webhook: webhook, State: webhookState(webhook)})
			}
		}
		view.Types = append(view.Types, row)
	}
	return v.show("event-types", layout{Title: "Event types", Nav: "event-types", Body: view})
}
