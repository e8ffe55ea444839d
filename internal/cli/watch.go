// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/liggitt/tabwriter"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/client"
)

// watchFlags are --watch and --interval.
type watchFlags struct {
	on       bool
	interval time.Duration
}

const minInterval = 100 * time.Millisecond

func (w *watchFlags) addFlags(command *cobra.Command) {
	command.Flags().BoolVarP(&w.on, "watch", "w", false, "go on, and print what changes until interrupted; json: one object a line")
	command.Flags().DurationVar(&w.interval, "interval", 2*time.Second, "with --watch: how often to look")
}

// printOrWatch prints a list once, or with --watch goes on.
func printOrWatch[T any](ctx context.Context, a *app, flags watchFlags, window bool, v view[T], read func(context.Context) ([]T, error)) error {
	if flags.on {
		return watch(ctx, a, flags, window, v, read)
	}
	all, err := read(ctx)
	if err != nil {
		return err
	}
	return printList(a, v, all)
}

// watcher prints what is new or changed from one look to the next.
type watcher[T any] struct {
	app   *app
	view  view[T]
	seen  map[string][]byte
	table *tabwriter.Writer // remembers widths
	// headed: the names of the columns are printed.
	headed bool
	// window: what is read is the newest of something longer, so what is no
	// longer there is not gone.
	window bool
}

// watch reads and prints until the context ends. The first reading must work;
// later ones may fail for a while.
func watch[T any](ctx context.Context, a *app, flags watchFlags, window bool, v view[T], read func(context.Context) ([]T, error)) error {
	if flags.interval < minInterval {
		return usageError{fmt.Sprintf("--interval: at least %s", minInterval)}
	}
	w := &watcher[T]{app: a, view: v, table: newTableWriter(a.Out), window: window}
	ticker := time.NewTicker(flags.interval)
	defer ticker.Stop()
	failing := ""
	for {
		items, err := read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case w.seen != nil && client.StatusOf(err) == http.StatusNotFound:
			return w.gone(err)
		case err != nil && (w.seen == nil || isPermanentWatchError(err)):
			return err
		case err != nil:
			if why := explainError(err)[0]; why != failing {
				failing = why
				a.printNote("bbmcp: %s; trying again", why)
			}
		default:
			failing = ""
			if err := w.show(items); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// isPermanentWatchError reports whether an error ends a watch, since waiting does not help.
func isPermanentWatchError(err error) bool {
	status := client.StatusOf(err)
	return status/100 == 4 && status != http.StatusTooManyRequests || errors.Is(err, client.ErrNoToken)
}

func (w *watcher[T]) show(items []T) error {
	first := w.seen == nil
	now := make(map[string][]byte, len(items))
	var changed []T
	for _, item := range items {
		encoded, err := encodeJSON(item, "")
		if err != nil {
			return err
		}
		id := w.view.id(item)
		now[id] = encoded
		if !bytes.Equal(w.seen[id], encoded) {
			changed = append(changed, item)
		}
	}
	for id := range w.seen {
		if _, still := now[id]; !still && !w.window {
			w.app.printNote("%s is gone", id)
		}
	}
	w.seen = now
	if first && len(items) == 0 {
		w.app.printNote("no %s yet", w.view.kind)
	}
	return w.print(changed, now)
}

// gone tells that what was watched, or what it belongs to, does not exist any
// more. That ends a watch, and is no error.
func (w *watcher[T]) gone(err error) error {
	if w.window || len(w.seen) == 0 {
		w.app.printNote("%s", explainError(err)[0])
		return nil
	}
	return w.show(nil)
}

func (w *watcher[T]) print(changed []T, encoded map[string][]byte) error {
	switch w.app.output {
	case formatJSON, formatYAML:
		for _, item := range changed {
			document := encoded[w.view.id(item)]
			if w.app.output == formatYAML {
				text, err := yaml.JSONToYAML(document)
				if err != nil {
					return fmt.Errorf("write YAML: %w", err)
				}
				document = append([]byte("---\n"), text...)
			}
			if _, err := w.app.Out.Write(document); err != nil {
				return err
			}
		}
		return nil
	}
	if len(changed) == 0 {
		return nil
	}
	if err := printRows(w.table, w.view, changed, w.app.output == formatWide, !w.headed, w.app.Now()); err != nil {
		return err
	}
	w.headed = true
	return w.table.Flush()
}
