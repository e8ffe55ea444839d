// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

func (a *app) newEventTypesCommand() *cobra.Command {
	return newCommandGroup("event-types", "The catalogue of event types", []string{"event-type", "types"}, a.newEventTypesListCommand())
}

func eventTypeView() view[rest.EventType] {
	argument := func(document []byte) string {
		if len(document) == 0 || string(document) == "null" {
			return "no"
		}
		return "yes"
	}
	return view[rest.EventType]{
		kind: "event types",
		id:   func(t rest.EventType) string { return t.Type },
		columns: []column[rest.EventType]{
			{"TYPE", false, func(t rest.EventType, _ time.Time) string { return t.Type }},
			{"SCHEMA", true, func(t rest.EventType, _ time.Time) string { return argument(t.Schema) }},
			{"EXAMPLE", true, func(t rest.EventType, _ time.Time) string { return argument(t.Example) }},
			{"DESCRIPTION", false, func(t rest.EventType, _ time.Time) string { return formatText(t.Description) }},
		},
	}
}

func (a *app) newEventTypesListCommand() *cobra.Command {
	return newListCommand(a, "List event types; -o json shows their schemas and examples", eventTypeView(), (*client.Client).EventTypes)
}
