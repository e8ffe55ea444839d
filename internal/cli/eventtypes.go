// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

func (a *app) newEventTypesCommand() *cobra.Command {
	return newGroup("event-types", "The catalogue of event types", []string{"event-type", "types"}, a.newEventTypesListCommand())
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
	var watching watchFlags
	command := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List event types; -o json shows their schemas and examples",
		Args:    cobra.NoArgs,
		RunE: a.runGuarded(func(command *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			read := func(ctx context.Context) ([]rest.EventType, error) {
				var all []rest.EventType
				for eventType, err := range c.EventTypes(ctx) {
					if err != nil {
						return nil, err
					}
					all = append(all, eventType)
				}
				return all, nil
			}
			if watching.on {
				return watch(command.Context(), a, watching, false, eventTypeView(), read)
			}
			all, err := read(command.Context())
			if err != nil {
				return err
			}
			return printList(a, eventTypeView(), all)
		}),
	}
	watching.addFlags(command)
	return command
}
