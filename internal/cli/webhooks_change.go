// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

func (a *app) newWebhooksCreateCommand() *cobra.Command {
	var (
		webhook    rest.WebhookCreate
		secretFile string
	)
	command := &cobra.Command{
		Use:   "create",
		Short: "Create a webhook",
		Long: `Create a webhook. The answer shows its signing secret, which is shown at no other
time but after rotate-secret.`,
		Example: `  bbmcp webhooks create --name orders --url https://example.com/hooks/bbmcp --events 'context.*,verification.completed'
  bbmcp webhooks create --url https://example.com/hooks/bbmcp --events '*' --retry-delays 10s,1m,10m,1h --retry-timeout 20s
  bbmcp webhooks create --url https://example.com/hooks/bbmcp --events '*' -o json | jq -r .secret`,
		Args: cobra.NoArgs,
		RunE: a.runGuarded(func(command *cobra.Command, _ []string) error {
			if secretFile != "" {
				secret, err := a.readInputFile(secretFile)
				if err != nil {
					return err
				}
				webhook.Secret = strings.TrimRight(string(secret), "\r\n")
				if webhook.Secret == "" {
					return usageError{"--secret-file: the file is empty"}
				}
			}
			var err error
			if webhook.SettingsChange, _, err = readSettings(command); err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			created, err := c.CreateWebhook(command.Context(), webhook)
			if err != nil {
				return err
			}
			a.printWarnings(created.Warnings)
			return printOne(a, webhookViewWithSecret(), created.Webhook)
		}),
	}
	flags := command.Flags()
	flags.StringVar(&webhook.URL, "url", "", "where events are posted: https, unless the operator allows http")
	flags.StringSliceVar(&webhook.Events, "events", nil, "event types, prefixes such as context.*, or *; separated by commas")
	flags.StringVar(&webhook.Name, "name", "", "name of the Webhook object (default: generated)")
	flags.StringVar(&webhook.Description, "description", "", "a note for people")
	flags.StringVar(&webhook.Secret, "secret", "", "signing secret of 16 to 256 bytes (default: generated); other users of this machine can see it while the command runs")
	flags.StringVar(&secretFile, "secret-file", "", "`file` that holds the signing secret; - is standard input")
	_ = command.MarkFlagRequired("url")
	_ = command.MarkFlagRequired("events")
	command.MarkFlagsMutuallyExclusive("secret", "secret-file")
	addSettings(command)
	registerCompletion(command, "events", a.completeEventType)
	return command
}

func (a *app) newWebhooksUpdateCommand() *cobra.Command {
	var (
		url, description, etag string
		events                 []string
	)
	command := &cobra.Command{
		Use:   "update WEBHOOK",
		Short: "Change a webhook: its URL, events, retries and more",
		Long: `Change the fields given and keep the others; the value default brings the default
of a setting back. With --if-match nothing is changed if somebody else changed the
webhook since; bbmcp webhooks get -o wide shows the ETag.`,
		Example: `  bbmcp webhooks update orders --url https://example.com/v2/hooks --events 'context.*'
  bbmcp webhooks update orders --retry-delays none --retry-timeout default`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeWebhook,
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			var change rest.WebhookUpdate
			if command.Flags().Changed("url") {
				change.URL = &url
			}
			if command.Flags().Changed("description") {
				change.Description = &description
			}
			if command.Flags().Changed("events") && len(events) == 0 {
				return usageError{"--events: name at least one"}
			}
			change.Events = events
			var err error
			if change.SettingsChange, change.Defaults, err = readSettings(command); err != nil {
				return err
			}
			c, id, err := a.connectToWebhook(command.Context(), args[0])
			if err != nil {
				return err
			}
			updated, err := c.UpdateWebhook(command.Context(), id, etag, change)
			if err != nil {
				return err
			}
			a.printWarnings(updated.Warnings)
			return printOne(a, webhookViewWithETag(updated.ETag), updated.Webhook)
		}),
	}
	flags := command.Flags()
	flags.StringVar(&url, "url", "", "new endpoint")
	flags.StringSliceVar(&events, "events", nil, "new list of events, separated by commas; replaces the old one")
	flags.StringVar(&description, "description", "", "new note; empty removes it")
	flags.StringVar(&etag, "if-match", "", "change it only if this is still its `ETag`")
	command.MarkFlagsOneRequired(append([]string{"url", "events", "description"}, addSettings(command)...)...)
	registerCompletion(command, "events", a.completeEventType)
	return command
}

func (a *app) newWebhooksDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "delete WEBHOOK...",
		Short:             "Delete webhooks with their deliveries, unfinished ones too",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeWebhooks,
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			return a.forEachArgument(args, func(argument string) error {
				c, id, err := a.connectToWebhook(command.Context(), argument)
				if err != nil {
					return err
				}
				if err := c.DeleteWebhook(command.Context(), id); err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.Out, "%s deleted\n", argument)
				return err
			})
		}),
	}
}

// newWebhookActionCommand makes a command that does one thing to a webhook and shows it.
func (a *app) newWebhookActionCommand(verb, short, long string, do func(*client.Client, context.Context, string) (*client.Webhook, error)) *cobra.Command {
	if long != "" {
		long = short + ".\n\n" + long
	}
	return &cobra.Command{
		Use:               verb + " WEBHOOK",
		Short:             short,
		Long:              long,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeWebhook,
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			c, id, err := a.connectToWebhook(command.Context(), args[0])
			if err != nil {
				return err
			}
			webhook, err := do(c, command.Context(), id)
			if err != nil {
				return err
			}
			return printOne(a, webhookView(), webhook.Webhook)
		}),
	}
}

func (a *app) newWebhooksRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate-secret WEBHOOK",
		Short: "Replace a webhook's signing secret and show the new one, once",
		Long: `Replace a webhook's signing secret and show the new one, once. While the rotation
overlaps (24 h unless the Webhook object says otherwise) both secrets sign, so a
receiver that knows either loses nothing. A second rotation inside the overlap
drops the oldest secret.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeWebhook,
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			c, id, err := a.connectToWebhook(command.Context(), args[0])
			if err != nil {
				return err
			}
			rotated, err := c.RotateSecret(command.Context(), id)
			if err != nil {
				return err
			}
			return printOne(a, webhookViewWithSecret(), rotated.Webhook)
		}),
	}
}

func (a *app) newWebhooksTestCommand() *cobra.Command {
	var (
		event, data string
		waiting     waitFlag
	)
	command := &cobra.Command{
		Use:   "test WEBHOOK --event TYPE",
		Short: "Send a test event to one webhook",
		Long: `Send a test event to one webhook, also when it is suspended or disabled. It
carries the header X-BBMCP-Test: true and does not count in the webhook's health.
It is printed as it is accepted, before an attempt; with --wait as it is after the
attempt, and the exit code is 1 if that failed.`,
		Example: `  bbmcp webhooks test orders --event context.created --wait
  bbmcp webhooks test orders --event verification.completed --data '{"verification_id":"ver_1","transaction_hash":"0x1a2b","verified":true}'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeWebhook,
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			content, err := a.readInputData(data)
			if err != nil {
				return err
			}
			c, id, err := a.connectToWebhook(command.Context(), args[0])
			if err != nil {
				return err
			}
			delivery, err := c.TestWebhook(command.Context(), id, event, content)
			if err != nil {
				return err
			}
			if waiting.isSet() {
				return a.awaitAttempts(command.Context(), c, waiting, *delivery)
			}
			if err := printOne(a, deliveryView(), *delivery); err != nil {
				return err
			}
			a.printNote("see what comes of it: bbmcp deliveries get %s", delivery.DeliveryID)
			return nil
		}),
	}
	command.Flags().StringVar(&event, "event", "", "event `type`")
	command.Flags().StringVar(&data, "data", "", "member data of the event: JSON, @file, or - for standard input (default: the type's example)")
	waiting.addFlag(command)
	_ = command.MarkFlagRequired("event")
	registerCompletion(command, "event", a.completeEventType)
	return command
}
