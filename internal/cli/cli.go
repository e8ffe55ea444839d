// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/client"
	"bbmcp.quietstack.com/webhooks/internal/version"
)

// System is all that a run of the program gets from outside.
type System struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Now      func() time.Time
}

// Main runs bbmcp with these arguments and returns its exit code. When the
// context ends, what is under way is finished or given up in good order.
func Main(ctx context.Context, system System, args []string) int {
	a := &app{System: system}
	root := a.newRootCommand()
	root.SetArgs(args)
	root.SetIn(system.In)
	root.SetOut(system.Out)
	root.SetErr(system.Err)
	command, err := root.ExecuteContextC(ctx)
	return a.conclude(ctx, command, err)
}

// Root returns the tree of commands, for documentation.
func Root() *cobra.Command {
	return (&app{System: System{Getenv: os.Getenv, Now: time.Now}}).newRootCommand()
}

// app is one run.
type app struct {
	System

	apiURL, apiKey, apiKeyFile string
	namespace                  string
	output                     outputFormat
	timeout                    time.Duration

	// ran is set when a command itself has begun: errors before are errors of
	// usage.
	ran bool
}

const rootLong = `bbmcp manages webhooks, looks at deliveries and publishes events through the
REST API of BB-MCP Webhooks.

It needs the URL of the API (BBMCP_API_URL or --api-url) and a key
(BBMCP_API_KEY, BBMCP_API_KEY_FILE, --api-key or --api-key-file), which is a
Kubernetes ServiceAccount token; bbmcp keys create makes one. A file is read
again for every request, as tokens that Kubernetes mounts are replaced.

Exit codes:
  0    it worked
  1    it did not
  2    the command line or the settings are wrong; nothing was tried
  3    not found
  4    not allowed, or the key is not accepted
  130  interrupted`

const rootExample = `  export BBMCP_API_URL=https://bbmcp.example.com BBMCP_API_KEY_FILE=~/.bbmcp-key
  bbmcp webhooks create --name orders --url https://example.com/hooks/bbmcp --events 'context.*'
  bbmcp webhooks test orders --event context.created
  bbmcp deliveries list orders --watch`

func (a *app) newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "bbmcp",
		Short:   "Manage webhooks and publish events",
		Long:    rootLong,
		Example: rootExample,
		Version: version.Version,
		Args:    cobra.NoArgs,
		RunE:    showHelp,
		// conclude prints errors, and hints at the help where that helps.
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetVersionTemplate("bbmcp {{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&a.apiURL, "api-url", "", "`URL` of the API without /v1 (default: $"+client.EnvBaseURL+")")
	flags.StringVar(&a.apiKey, "api-key", "", "the key itself; other users of this machine can see it while the command runs, so prefer a file or $"+client.EnvToken)
	flags.StringVar(&a.apiKeyFile, "api-key-file", "", "`file` that holds the key (default: $"+client.EnvTokenFile+")")
	flags.StringVarP(&a.namespace, "namespace", "n", "", "Kubernetes namespace (default: the key's own; for keys: the kubeconfig's)")
	flags.VarP(&a.output, "output", "o", "`format`: table, wide, json or yaml")
	flags.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long one request may take")
	root.MarkFlagsMutuallyExclusive("api-key", "api-key-file")
	registerCompletion(root, "output", cobra.FixedCompletions([]string{"table", "wide", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(a.newWebhooksCommand(), a.newDeliveriesCommand(), a.newEventsCommand(), a.newEventTypesCommand(), a.newKeysCommand(), a.newVerifyCommand(), a.newVersionCommand())
	return root
}

func (a *app) newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: a.runGuarded(func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.Out, "bbmcp %s\n", version.Version)
			return err
		}),
	}
}

// newCommandGroup makes a command that only holds others.
func newCommandGroup(use, short string, aliases []string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Aliases: aliases, Args: cobra.NoArgs, RunE: showHelp}
	g.AddCommand(commands...)
	return g
}

func showHelp(command *cobra.Command, _ []string) error { return command.Help() }

// runGuarded wraps what a command does, so that its errors are told from errors of
// usage.
func (a *app) runGuarded(do func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, args []string) error {
		a.ran = true
		return do(command, args)
	}
}

// connect makes the client that the flags and the environment ask for.
func (a *app) connect(change ...func(*client.Options)) (*client.Client, error) {
	options := client.Options{
		BaseURL: a.apiURL, Namespace: a.namespace,
		HTTPClient: newHTTPClient(a.timeout), UserAgent: "bbmcp/" + version.Version,
	}
	if options.BaseURL == "" {
		options.BaseURL = a.Getenv(client.EnvBaseURL)
	}
	if options.BaseURL == "" {
		return nil, usageError{"no API URL: set " + client.EnvBaseURL + " or --api-url"}
	}
	options.Token = a.tokenSource()
	if options.Token == nil {
		return nil, usageError{"no API key: set " + client.EnvToken + ", " + client.EnvTokenFile + ", --api-key or --api-key-file"}
	}
	for _, apply := range change {
		apply(&options)
	}
	c, err := client.New(options)
	if err != nil {
		return nil, usageError{trimErrorPrefix(err)}
	}
	return c, nil
}

// tokenSource is the source of the key: flags before the environment.
func (a *app) tokenSource() func(context.Context) (string, error) {
	switch {
	case a.apiKey != "":
		return client.StaticToken(a.apiKey)
	case a.apiKeyFile != "":
		return client.TokenFile(a.apiKeyFile)
	case a.Getenv(client.EnvToken) != "":
		return client.StaticToken(a.Getenv(client.EnvToken))
	case a.Getenv(client.EnvTokenFile) != "":
		return client.TokenFile(a.Getenv(client.EnvTokenFile))
	}
	return nil
}

// printNote tells people something that is not part of the output.
func (a *app) printNote(text string, args ...any) { fmt.Fprintf(a.Err, text+"\n", args...) }

// forEachArgument does something with each argument, also after an error, and returns
// the first one.
func (a *app) forEachArgument(args []string, do func(string) error) error {
	var first error
	for _, arg := range args {
		err := do(arg)
		switch {
		case err == nil:
		case first == nil:
			first = err
		default:
			for _, line := range explainError(err) {
				a.printNote("bbmcp: %s", line)
			}
		}
	}
	return first
}
