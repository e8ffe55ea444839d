// SPDX-License-Identifier: Apache-2.0

// Command bbmcp-webhooks is the operator: its subcommands are the roles that it
// can take in a cluster.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/internal/app"
	"bbmcp.quietstack.com/webhooks/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func newCommand() *cobra.Command {
	command := &cobra.Command{
		Use:           "bbmcp-webhooks",
		Short:         "Outbound webhooks for Kubernetes",
		Version:       version.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	command.AddCommand(app.NewManagerCommand(), app.NewGatewayCommand())
	return command
}
