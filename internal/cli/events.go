// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

func (a *app) newEventsCommand() *cobra.Command {
	return newCommandGroup("events", "Publish events", []string{"event"}, a.newEventsPublishCommand())
}

const publishLong = `Publish one event, with its data as JSON, or many from a file with one JSON object
a line (NDJSON). When the command succeeds, every delivery is durable.

A line of a file is what POST /v1/events takes:

  {"event":"verification.completed","data":{"verification_id":"ver_1","transaction_hash":"0x1a2b","verified":true}}

with the members id and timestamp if wanted. TYPE stands in for event where a
line has none. Blank lines are passed over.

Running the same command again is safe, after an interrupt, a failure or a crash:

  - A line without id gets one that is computed from the name of the batch (the
    file's name, or --batch), the text of the line, and how many lines with the same
    text come before it. Correcting, adding or removing other lines does not
    change it. The API makes no second delivery for an id while the first exists.
  - Deliveries do not exist for ever, so lines that were accepted are also noted in
    a progress file (FILE.progress, or --progress-file) and not sent again by the
    next run to the same API and namespace. To send them again on purpose, use
    another --batch.

The summary counts the lines that were published, were noted already, were
accepted although a webhook that matches was skipped, and failed. Those that were
skipped or failed are named on standard error with the reason. A later run tries
them again, and those that no webhook wanted. The exit code is not 0 if any failed
or was not tried.`

type publishFlags struct {
	data, id, timestamp  string
	from, batch          string
	progressFile, report string
	concurrency          int
}

func (a *app) newEventsPublishCommand() *cobra.Command {
	var flags publishFlags
	command := &cobra.Command{
		Use:   "publish [TYPE]",
		Short: "Publish an event, or many from a file",
		Long:  publishLong,
		Example: `  bbmcp events publish verification.completed --data '{"verification_id":"ver_1","transaction_hash":"0x1a2b","verified":true}'
  bbmcp events publish context.created --data @context.json --id order-4711
  bbmcp events publish --from events.ndjson
  some-program | bbmcp events publish context.created --from - --batch nightly-2026-01-15`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeEventType,
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			eventType := ""
			if len(args) == 1 {
				eventType = args[0]
			}
			if command.Flags().Changed("from") {
				return a.publishFile(command.Context(), eventType, &flags)
			}
			return a.publishEvent(command, eventType, &flags)
		}),
	}
	set := command.Flags()
	set.StringVar(&flags.data, "data", "", "member data of the event: JSON, @file, or - for standard input")
	set.StringVar(&flags.id, "id", "", "event id, which makes publishing idempotent (default: generated)")
	set.StringVar(&flags.timestamp, "timestamp", "", "when it happened, RFC 3339 (default: now)")
	set.StringVar(&flags.from, "from", "", "`file` with one event a line; - is standard input")
	set.StringVar(&flags.batch, "batch", "", "`name` that goes into the ids of lines without one (default: the file's name)")
	set.StringVar(&flags.progressFile, "progress-file", "", "`file` that notes what was accepted; none: no file (default: FILE.progress; none for standard input)")
	set.StringVar(&flags.report, "progress", reportAuto, "how progress is shown on standard error: auto (a bar on a terminal, else lines), bar, plain or none")
	set.IntVar(&flags.concurrency, "concurrency", 8, fmt.Sprintf("how many events of a file are published at a time, up to %d", maxConcurrency))
	command.MarkFlagsOneRequired("data", "from")
	for _, pair := range [][2]string{
		{"data", "from"}, {"data", "batch"}, {"data", "progress-file"}, {"data", "progress"}, {"data", "concurrency"},
		{"from", "id"}, {"from", "timestamp"},
	} {
		command.MarkFlagsMutuallyExclusive(pair[0], pair[1])
	}
	registerCompletion(command, "progress", cobra.FixedCompletions([]string{reportAuto, reportBar, reportPlain, reportNone}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

// recipient is a webhook that a published event matched.
type recipient struct {
	eventID, webhookID, deliveryID, status string
}

func recipientView() view[recipient] {
	return view[recipient]{
		kind: "webhooks want this event",
		columns: []column[recipient]{
			{"EVENT ID", false, func(r recipient, _ time.Time) string { return r.eventID }},
			{"WEBHOOK", false, func(r recipient, _ time.Time) string { return r.webhookID }},
			{"DELIVERY", false, func(r recipient, _ time.Time) string { return r.deliveryID }},
			{"STATUS", false, func(r recipient, _ time.Time) string { return r.status }},
		},
	}
}

func (a *app) publishEvent(command *cobra.Command, eventType string, flags *publishFlags) error {
	if eventType == "" {
		return usageError{"name the event's TYPE"}
	}
	data, err := a.readInputData(flags.data)
	if err != nil {
		return err
	}
	if data == nil {
		return usageError{"--data: is empty"}
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	published, err := c.Publish(command.Context(), rest.EventPublish{Event: eventType, Data: data, Timestamp: flags.timestamp, ID: flags.id})
	if err != nil {
		return err
	}
	if a.output == formatJSON || a.output == formatYAML {
		return a.printValue(published)
	}
	var rows []recipient
	for _, d := range published.Deliveries {
		rows = append(rows, recipient{published.EventID, d.WebhookID, d.DeliveryID, d.Status})
	}
	for _, s := range published.Skipped {
		rows = append(rows, recipient{published.EventID, s.WebhookID, nothing, "skipped: " + s.Reason})
	}
	if len(rows) == 0 {
		rows = append(rows, recipient{published.EventID, nothing, nothing, "no webhook wants it"})
	}
	return printRows(a.Out, recipientView(), rows, false, true, a.Now())
}

// batchName is what goes into the ids of lines without one.
func (f *publishFlags) batchName() string {
	switch {
	case f.batch != "":
		return f.batch
	case f.from == "-":
		return "-"
	}
	return filepath.Base(f.from)
}
