// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"bbmcp.quietstack.com/webhooks/client"
)

// Exit codes, as the help of bbmcp documents them.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// conclude prints an error, one line for each thing that is wrong, and returns
// the exit code.
func (a *app) conclude(ctx context.Context, command *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	code := a.exitCode(ctx, err)
	if code == exitInterrupted || errors.Is(err, errSilent) {
		return code
	}
	for _, line := range explainError(err) {
		fmt.Fprintf(a.Err, "bbmcp: %s\n", line)
	}
	if code == exitUsage {
		fmt.Fprintf(a.Err, "Run '%s --help' for how to use it.\n", command.CommandPath())
	}
	return code
}

func (a *app) exitCode(ctx context.Context, err error) int {
	_, usage := errors.AsType[usageError](err)
	_, missing := errors.AsType[notFoundError](err)
	status := client.StatusOf(err)
	switch {
	case usage || !a.ran || errors.Is(err, client.ErrNoToken):
		return exitUsage
	case errors.Is(err, errInterrupted) || ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return exitInterrupted
	case missing || status == http.StatusNotFound || apierrors.IsNotFound(err):
		return exitNotFound
	case status == http.StatusUnauthorized || status == http.StatusForbidden || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		return exitDenied
	}
	return exitError
}

// Exit codes, as the help of bbmcp documents them.
