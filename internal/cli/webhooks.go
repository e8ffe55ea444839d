// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

func (a *app) newWebhooksCommand() *cobra.Command {
	return newCommandGroup("webhooks", "Manage webhooks: endpoints and what they want to hear of", []string{"webhook", "wh"},
		a.newWebhooksCreateCommand(), a.newWebhooksListCommand(), a.newWebhooksGetCommand(), a.newWebhooksUpdateCommand(), a.newWebhooksDeleteCommand(), a.newWebhooksTestCommand(),
		a.newWebhookActionCommand("enable", "Make a webhook active again that was disabled",
			`A webhook is disabled after its endpoint answered 410, or when its deliveries
have failed for five days without a success. Nothing is created for it then.`, (*client.Client).EnableWebhook),
		a.newWebhookActionCommand("suspend", "Hold a webhook's deliveries",
			`New events are collected and sent after bbmcp webhooks resume.`, (*client.Client).SuspendWebhook),
		a.newWebhookActionCommand("resume", "Send what was held since a webhook was suspended", "", (*client.Client).ResumeWebhook),
		a.newWebhooksRotateCommand())
}

func webhookView() view[rest.Webhook] {
	return view[rest.Webhook]{
		kind: "webhooks",
		id:   func(w rest.Webhook) string { return w.WebhookID },
		columns: []column[rest.Webhook]{
			{"ID", false, func(w rest.Webhook, _ time.Time) string { return w.WebhookID }},
			{"NAME", false, func(w rest.Webhook, _ time.Time) string { return w.Name }},
			{"STATUS", false, func(w rest.Webhook, _ time.Time) string {
				if w.Suspended {
					return w.Status + ",suspended"
				}
				return w.Status
			}},
			{"HEALTHY", false, func(w rest.Webhook, _ time.Time) string { return formatWebhookHealth(w) }},
			{"EVENTS", false, func(w rest.Webhook, _ time.Time) string { return strings.Join(w.Events, ",") }},
			{"URL", false, func(w rest.Webhook, _ time.Time) string { return w.URL }},
			{"AGE", false, func(w rest.Webhook, now time.Time) string { return formatAge(w.CreatedAt, now) }},
			{"CREATED", true, func(w rest.Webhook, _ time.Time) string { return formatTime(&w.CreatedAt) }},
			{"DESCRIPTION", true, func(w rest.Webhook, _ time.Time) string { return formatText(w.Description) }},
			{"ENDPOINT", true, func(w rest.Webhook, _ time.Time) string { return describeWebhookHealth(w) }},
			{"SKIPPED", true, func(w rest.Webhook, _ time.Time) string { return strconv.FormatInt(w.DeliveriesSkipped, 10) }},
			{"LAST SKIPPED", true, func(w rest.Webhook, _ time.Time) string { return formatTime(w.LastSkippedAt) }},
			{"DELETED EARLY", true, func(w rest.Webhook, _ time.Time) string { return strconv.FormatInt(w.DeliveriesDeletedEarly, 10) }},
		},
	}
}

// formatWebhookHealth says how a webhook does: yes, or why not.
func formatWebhookHealth(w rest.Webhook) string {
	switch {
	case w.Problem != nil:
		return w.Problem.Reason
	case w.EndpointHealth.Healthy == nil:
		return nothing
	case *w.EndpointHealth.Healthy:
		return "yes"
	}
	return w.EndpointHealth.Reason
}

// describeWebhookHealth says more about how a webhook does.
func describeWebhookHealth(w rest.Webhook) string {
	if w.Problem != nil {
		return w.Problem.Message
	}
	return w.EndpointHealth.Message
}

// webhookViewWithSecret is the view of a webhook whose secret was just made.
func webhookViewWithSecret() view[rest.Webhook] {
	v := webhookView()
	v.columns = append(v.columns, column[rest.Webhook]{"SECRET", false, func(w rest.Webhook, _ time.Time) string { return formatText(w.Secret) }})
	return v
}

// webhookViewWithETag is the view of a webhook with its version.
func webhookViewWithETag(etag string) view[rest.Webhook] {
	v := webhookView()
	v.columns = append(v.columns, column[rest.Webhook]{"ETAG", true, func(rest.Webhook, time.Time) string { return etag }})
	return v
}

func (a *app) newWebhooksListCommand() *cobra.Command {
	return newListCommand(a, "List webhooks, by name", webhookView(), (*client.Client).Webhooks)
}

func (a *app) newWebhooksGetCommand() *cobra.Command {
	var watching watchFlags
	command := &cobra.Command{
		Use:               "get WEBHOOK",
		Short:             "Show a webhook, without its secret",
		Long:              "Show a webhook, given by id or name, without its secret. -o wide shows its ETag.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeWebhook,
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			c, id, err := a.connectToWebhook(command.Context(), args[0])
			if err != nil {
				return err
			}
			if watching.on {
				return watch(command.Context(), a, watching, false, webhookView(), func(ctx context.Context) ([]rest.Webhook, error) {
					webhook, err := c.GetWebhook(ctx, id)
					if err != nil {
						return nil, err
					}
					return []rest.Webhook{webhook.Webhook}, nil
				})
			}
			webhook, err := c.GetWebhook(command.Context(), id)
			if err != nil {
				return err
			}
			return printOne(a, webhookViewWithETag(webhook.ETag), webhook.Webhook)
		}),
	}
	watching.addFlags(command)
	return command
}

// connectToWebhook makes a client and finds the id of a webhook given by id or name.
func (a *app) connectToWebhook(ctx context.Context, argument string) (*client.Client, string, error) {
	c, err := a.connect()
	if err != nil {
		return nil, "", err
	}
	id, err := webhookID(ctx, c, argument)
	return c, id, err
}

// webhookID finds the id of a webhook given by id or name. No name has the
// underscore that is in every id.
func webhookID(ctx context.Context, c *client.Client, argument string) (string, error) {
	if argument == "" || strings.Contains(argument, "_") {
		return argument, nil
	}
	for webhook, err := range c.Webhooks(ctx) {
		if err != nil {
			return "", err
		}
		if webhook.Name == argument {
			return webhook.WebhookID, nil
		}
	}
	return "", notFoundError{fmt.Sprintf("there is no webhook with the name or id %q in this namespace", argument)}
}
