// SPDX-License-Identifier: Apache-2.0

// Command cli prints docs/reference/cli.md from the commands of bbmcp.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bbmcp.quietstack.com/webhooks/internal/cli"
)

func main() {
	root := cli.Root()
	root.InitDefaultCompletionCmd()
	fmt.Print("<!-- Generated from internal/cli by make generate. Do not edit. -->\n\n# bbmcp\n")
	writeCommandContents(os.Stdout, root)
	documentCommand(os.Stdout, root)
}

// documentedCommands are the commands to describe: not help, and not what cobra adds to
// complete commands.
func documentedCommands(command *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, sub := range command.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			all = append(all, sub)
		}
	}
	return all
}

func writeCommandContents(w io.Writer, root *cobra.Command) {
	fmt.Fprint(w, "\n| command | |\n| --- | --- |\n")
	var row func(*cobra.Command)
	row = func(command *cobra.Command) {
		subs := documentedCommands(command)
		if command.Name() == "completion" {
			subs = nil
		}
		for _, sub := range subs {
			row(sub)
		}
		if len(subs) == 0 {
			fmt.Fprintf(w, "| [`%s`](#%s) | %s |\n", command.CommandPath(), commandAnchor(command), command.Short)
		}
	}
	row(root)
}

// commandAnchor is how GitHub names a heading.
func commandAnchor(command *cobra.Command) string {
	return strings.ReplaceAll(command.CommandPath(), " ", "-")
}

func documentCommand(w io.Writer, command *cobra.Command) {
	if command.HasParent() {
		fmt.Fprintf(w, "\n## %s\n", command.CommandPath())
	}
	long := command.Long
	if long == "" {
		long = command.Short + "."
	}
	fmt.Fprintf(w, "\n```text\n%s\n```\n", trimHelpLines(long))
	if command.Runnable() && command.HasParent() && !hasDocumentedCommands(command) {
		fmt.Fprintf(w, "\n```sh\n%s\n```\n", command.UseLine())
	}
	if command.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n\n```sh\n%s\n```\n", trimHelpLines(outdentExample(command.Example)))
	}
	flags := command.NonInheritedFlags()
	if command.HasParent() {
		flags = command.LocalNonPersistentFlags()
		flags.AddFlagSet(command.PersistentFlags())
	}
	printCommandFlags(w, flags)
	if command.Name() == "completion" {
		return // one page is enough for four shells
	}
	for _, sub := range documentedCommands(command) {
		documentCommand(w, sub)
	}
}

func hasDocumentedCommands(command *cobra.Command) bool { return len(documentedCommands(command)) > 0 }

func printCommandFlags(w io.Writer, flags *pflag.FlagSet) {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Name != "help" && flag.Name != "version" {
			shown.AddFlag(flag)
		}
	})
	if shown.HasAvailableFlags() {
		fmt.Fprintf(w, "\n```text\n%s\n```\n", trimHelpLines(shown.FlagUsages()))
	}
}

func outdentExample(text string) string {
	return strings.TrimPrefix(strings.ReplaceAll(text, "\n  ", "\n"), "  ")
}

// trimHelpLines removes white space at the ends of lines and of the text.
func trimHelpLines(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	return strings.Join(lines, "\n")
}
