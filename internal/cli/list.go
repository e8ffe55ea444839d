// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/client"
)

// newListCommand makes a command that lists all of one kind.
func newListCommand[T any](a *app, short string, v view[T], list func(*client.Client, context.Context) iter.Seq2[T, error]) *cobra.Command {
	var watching watchFlags
	command := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   short,
		Args:    cobra.NoArgs,
		RunE: a.runGuarded(func(command *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return printOrWatch(command.Context(), a, watching, false, v, func(ctx context.Context) ([]T, error) {
				var all []T
				for item, err := range list(c, ctx) {
					if err != nil {
						return nil, err
					}
					all = append(all, item)
				}
				return all, nil
			})
		}),
	}
	watching.addFlags(command)
	return command
}
