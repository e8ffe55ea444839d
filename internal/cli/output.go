// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/liggitt/tabwriter"
	"golang.org/x/term"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// outputFormat is the value of --output.
type outputFormat string

const (
	formatTable outputFormat = "table"
	formatWide  outputFormat = "wide"
	formatJSON  outputFormat = "json"
	formatYAML  outputFormat = "yaml"
)

// String, Set and Type implement pflag.Value.
func (f *outputFormat) String() string {
	if *f == "" {
		return string(formatTable)
	}
	return string(*f)
}

// Set takes one of the four names.
func (f *outputFormat) Set(value string) error {
	switch outputFormat(value) {
	case formatTable, formatWide, formatJSON, formatYAML:
		*f = outputFormat(value)
		return nil
	}
	return fmt.Errorf("want table, wide, json or yaml")
}

// Type names the value in the help.
func (f *outputFormat) Type() string { return "format" }

// nothing stands in a table for a value that is not there.
const nothing = "-"

// column is one column of a table.
type column[T any] struct {
	name string
	wide bool // only with -o wide
	cell func(T, time.Time) string
}

// view is how one kind of thing is shown.
type view[T any] struct {
	// kind is its name in messages, plural.
	kind    string
	id      func(T) string
	columns []column[T]
}

// list is what -o json and yaml show of several things, as the API does.
type list[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

// printList prints several things.
func printList[T any](a *app, v view[T], items []T) error {
	switch a.output {
	case formatJSON, formatYAML:
		return a.printValue(list[T]{Data: append([]T{}, items...)})
	}
	if len(items) == 0 {
		a.printNote("no %s", v.kind)
		return nil
	}
	return printRows(a.Out, v, items, a.output == formatWide, true, a.Now())
}

// printOne prints one thing.
func printOne[T any](a *app, v view[T], item T) error {
	switch a.output {
	case formatJSON, formatYAML:
		return a.printValue(item)
	}
	return printRows(a.Out, v, []T{item}, a.output == formatWide, true, a.Now())
}

// printValue prints JSON or YAML.
func (a *app) printValue(value any) error {
	text, err := encodeJSON(value, "  ")
	if err != nil {
		return err
	}
	if a.output == formatYAML {
		if text, err = yaml.JSONToYAML(text); err != nil {
			return fmt.Errorf("write YAML: %w", err)
		}
	}
	_, err = a.Out.Write(text)
	return err
}

// encodeJSON writes JSON and a line break, without escaping what HTML would need.
func encodeJSON(value any, indent string) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return buffer.Bytes(), nil
}

// newTableWriter remembers the widths of columns from one table to the next.
func newTableWriter(w io.Writer) *tabwriter.Writer { return printers.GetNewTabWriter(w) }

// printRows prints a table, as kubectl would.
func printRows[T any](w io.Writer, v view[T], items []T, wide, headers bool, now time.Time) error {
	table := &metav1.Table{}
	for _, c := range v.columns {
		if c.wide && !wide {
			continue
		}
		table.ColumnDefinitions = append(table.ColumnDefinitions, metav1.TableColumnDefinition{Name: c.name, Type: "string"})
	}
	for _, item := range items {
		var row metav1.TableRow
		for _, c := range v.columns {
			if c.wide && !wide {
				continue
			}
			cell := c.cell(item, now)
			if cell == "" {
				cell = nothing
			}
			row.Cells = append(row.Cells, printableLine(cell))
		}
		table.Rows = append(table.Rows, row)
	}
	return printers.NewTablePrinter(printers.PrintOptions{NoHeaders: !headers}).PrintObj(table, w)
}

func formatAge(at, now time.Time) string { return duration.HumanDuration(now.Sub(at)) }

// formatUntil is how far away a time is, or nothing.
func formatUntil(at *time.Time, now time.Time) string {
	if at == nil {
		return nothing
	}
	if !at.After(now) {
		return "now"
	}
	return "in " + duration.HumanDuration(at.Sub(now))
}

func formatText(value *string) string {
	if value == nil {
		return nothing
	}
	return *value
}

func formatNumber(value *int) string {
	if value == nil {
		return nothing
	}
	return fmt.Sprint(*value)
}

func formatTime(at *time.Time) string {
	if at == nil {
		return nothing
	}
	return at.UTC().Format(time.RFC3339)
}

// terminalWidth is the width of the terminal that a writer is, or 0 if it is
// none.
func terminalWidth(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// printWarnings tells what the API accepted and finds odd.
func (a *app) printWarnings(warnings []rest.Warning) {
	for _, warning := range warnings {
		a.printNote("warning: %s", printableLine(warning.Field+": "+warning.Detail))
	}
}

// printableLine keeps what others wrote from moving the cursor.
func printableLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}
