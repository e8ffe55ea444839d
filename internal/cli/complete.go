// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/client"
)

// completionTimeout is how long a person who pressed Tab waits at most.
const completionTimeout = 2 * time.Second

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// registerCompletion sets how the value of a flag is completed.
func registerCompletion(command *cobra.Command, flag string, complete completion) {
	if err := command.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // the flag does not exist: a mistake in this package that every run shows
	}
}

// complete offers what the API knows; without it, nothing.
func (a *app) complete(offers func(context.Context, *client.Client) []string) completion {
	return func(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := a.connect(func(o *client.Options) { o.Repeats = -1 })
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(command.Context(), completionTimeout)
		defer cancel()
		return offers(ctx, c), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeWebhook offers names of webhooks, for a command's first argument.
func (a *app) completeWebhook(command *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeWebhooks(command, args, word)
}

func (a *app) completeWebhooks(command *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.complete(func(ctx context.Context, c *client.Client) []string {
		var offers []string
		for webhook, err := range c.Webhooks(ctx) {
			if err != nil {
				break
			}
			offers = append(offers, cobra.CompletionWithDesc(webhook.Name, webhook.URL))
		}
		return offers
	})(command, args, word)
}

// completeEventType offers the catalogue.
func (a *app) completeEventType(command *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.complete(func(ctx context.Context, c *client.Client) []string {
		var offers []string
		for eventType, err := range c.EventTypes(ctx) {
			if err != nil {
				break
			}
			offers = append(offers, cobra.CompletionWithDesc(eventType.Type, printableLine(formatText(eventType.Description))))
		}
		return offers
	})(command, args, word)
}
