// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

func (a *app) newDeliveriesCommand() *cobra.Command {
	return newCommandGroup("deliveries", "Look at deliveries and retry them", []string{"delivery"},
		a.newDeliveriesListCommand(), a.newDeliveriesGetCommand(), a.newDeliveriesRetryCommand())
}

func deliveryView() view[rest.Delivery] {
	return view[rest.Delivery]{
		kind: "deliveries",
		id:   func(d rest.Delivery) string { return d.DeliveryID },
		columns: []column[rest.Delivery]{
			{"ID", false, func(d rest.Delivery, _ time.Time) string { return d.DeliveryID }},
			{"EVENT", false, func(d rest.Delivery, _ time.Time) string { return d.Event }},
			{"STATUS", false, func(d rest.Delivery, _ time.Time) string { return d.Status }},
			{"ATTEMPTS", false, func(d rest.Delivery, _ time.Time) string { return fmt.Sprint(d.Attempts) }},
			{"CODE", false, func(d rest.Delivery, _ time.Time) string { return formatNumber(d.ResponseStatus) }},
			{"NEXT", false, func(d rest.Delivery, now time.Time) string { return formatUntil(d.NextAttemptAt, now) }},
			{"AGE", false, func(d rest.Delivery, now time.Time) string { return formatAge(d.CreatedAt, now) }},
			{"EVENT ID", true, func(d rest.Delivery, _ time.Time) string { return d.EventID }},
			{"WEBHOOK", true, func(d rest.Delivery, _ time.Time) string { return d.WebhookID }},
			{"COMPLETED", true, func(d rest.Delivery, _ time.Time) string { return formatTime(d.CompletedAt) }},
			{"ERROR", true, func(d rest.Delivery, _ time.Time) string { return formatText(d.ErrorMessage) }},
		},
	}
}

// deliveryDetailView is deliveryView for a delivery with its attempts.
func deliveryDetailView() view[rest.DeliveryDetail] {
	v := view[rest.DeliveryDetail]{kind: "deliveries", id: func(d rest.DeliveryDetail) string { return d.DeliveryID }}
	for _, c := range deliveryView().columns {
		v.columns = append(v.columns, column[rest.DeliveryDetail]{c.name, c.wide, func(d rest.DeliveryDetail, now time.Time) string {
			return c.cell(d.Delivery, now)
		}})
	}
	return v
}

func attemptView() view[rest.Attempt] {
	return view[rest.Attempt]{
		kind: "attempts",
		columns: []column[rest.Attempt]{
			{"ATTEMPT", false, func(t rest.Attempt, _ time.Time) string { return fmt.Sprint(t.Number) }},
			{"STARTED", false, func(t rest.Attempt, _ time.Time) string { return formatTime(&t.StartedAt) }},
			{"TOOK", false, func(t rest.Attempt, _ time.Time) string {
				return (time.Duration(t.DurationMS) * time.Millisecond).String()
			}},
			{"CODE", false, func(t rest.Attempt, _ time.Time) string { return formatNumber(t.ResponseStatus) }},
			{"REASON", false, func(t rest.Attempt, _ time.Time) string { return formatText(t.Reason) }},
			{"MESSAGE", false, func(t rest.Attempt, _ time.Time) string { return formatText(t.Message) }},
			{"ANSWER", true, func(t rest.Attempt, _ time.Time) string { return formatText(t.Answer) }},
		},
	}
}

func (a *app) newDeliveriesListCommand() *cobra.Command {
	var (
		status   string
		limit    int
		watching watchFlags
	)
	command := &cobra.Command{
		Use:   "list WEBHOOK",
		Short: "List a webhook's deliveries, newest first",
		Example: `  bbmcp deliveries list orders --status failed --limit 0
  bbmcp deliveries list wh_3b1f0f6f2a9c4d5e --watch -o json`,
		Aliases:           []string{"ls"},
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeWebhook,
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			if limit < 0 {
				return usageError{"--limit: 0 is all, otherwise 1 or more"}
			}
			c, id, err := a.connectToWebhook(command.Context(), args[0])
			if err != nil {
				return err
			}
			read := func(ctx context.Context) ([]rest.Delivery, error) { return newestDeliveries(ctx, c, id, status, limit) }
			return printOrWatch(command.Context(), a, watching, limit > 0, deliveryView(), read)
		}),
	}
	command.Flags().StringVar(&status, "status", "", "only those that are pending, retrying, succeeded or failed")
	command.Flags().IntVar(&limit, "limit", 20, "how many at most; 0: all")
	registerCompletion(command, "status", cobra.FixedCompletions(
		[]string{rest.DeliveryPending, rest.DeliveryRetrying, rest.DeliverySucceeded, rest.DeliveryFailed}, cobra.ShellCompDirectiveNoFileComp))
	watching.addFlags(command)
	return command
}

// newestDeliveries reads so many deliveries; 0: all.
func newestDeliveries(ctx context.Context, c *client.Client, webhookID, status string, limit int) ([]rest.Delivery, error) {
	if limit > 0 && limit <= 100 { // one page is enough
		page, err := c.ListDeliveries(ctx, webhookID, status, client.Page{Limit: limit})
		if err != nil {
			return nil, err
		}
		return page.Data, nil
	}
	var all []rest.Delivery
	for delivery, err := range c.Deliveries(ctx, webhookID, status) {
		if err != nil {
			return nil, err
		}
		all = append(all, delivery)
		if len(all) == limit {
			break
		}
	}
	return all, nil
}

func (a *app) newDeliveriesGetCommand() *cobra.Command {
	var watching watchFlags
	command := &cobra.Command{
		Use:   "get DELIVERY",
		Short: "Show a delivery and its attempts",
		Long:  "Show a delivery and its attempts; -o wide adds what the endpoint answered and the payload.",
		Args:  cobra.ExactArgs(1),
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			if watching.on {
				return watch(command.Context(), a, watching, false, deliveryDetailView(), func(ctx context.Context) ([]rest.DeliveryDetail, error) {
					delivery, err := c.GetDelivery(ctx, args[0])
					if err != nil {
						return nil, err
					}
					return []rest.DeliveryDetail{*delivery}, nil
				})
			}
			delivery, err := c.GetDelivery(command.Context(), args[0])
			if err != nil {
				return err
			}
			return a.printDelivery(delivery)
		}),
	}
	watching.addFlags(command)
	return command
}

func (a *app) printDelivery(delivery *rest.DeliveryDetail) error {
	if err := printOne(a, deliveryDetailView(), *delivery); err != nil || a.output == formatJSON || a.output == formatYAML {
		return err
	}
	wide := a.output == formatWide
	if len(delivery.AttemptLog) > 0 {
		fmt.Fprintln(a.Out)
		if err := printRows(a.Out, attemptView(), delivery.AttemptLog, wide, true, a.Now()); err != nil {
			return err
		}
	}
	if wide {
		// JSON text has no control characters of its own.
		fmt.Fprintf(a.Out, "\n%s\n", printableLine(delivery.Payload))
	}
	return nil
}

func (a *app) newDeliveriesRetryCommand() *cobra.Command {
	var waiting waitFlag
	command := &cobra.Command{
		Use:   "retry DELIVERY...",
		Short: "Make an attempt now",
		Long: `Make an attempt now. A failed delivery gets exactly one more attempt; one that is
pending or retrying is tried now instead of later. It is printed as it is before
that attempt; with --wait as it is after it, and the exit code is 1 if it failed.`,
		Args: cobra.MinimumNArgs(1),
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			var retried []rest.Delivery
			err = a.forEachArgument(args, func(id string) error {
				delivery, err := c.RetryDelivery(command.Context(), id)
				if err == nil {
					retried = append(retried, *delivery)
				}
				return err
			})
			if len(retried) == 0 {
				return err
			}
			if waiting.isSet() {
				return cmp.Or(a.awaitAttempts(command.Context(), c, waiting, retried...), err)
			}
			if len(args) == 1 {
				return printOne(a, deliveryView(), retried[0])
			}
			if printErr := printList(a, deliveryView(), retried); printErr != nil {
				return printErr
			}
			return err
		}),
	}
	waiting.addFlag(command)
	return command
}
