// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"log/slog"
	"os"

	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

// startTracing makes a Tracer if the environment asks for traces; nil if not. stop
// sends the last spans.
func startTracing(ctx context.Context, service string, logger *slog.Logger) (tracer *tracing.Tracer, stop func(), err error) {
	tracer, err = tracing.Start(ctx, service, os.Getenv, logger)
	return tracer, func() {
		if err := tracer.Close(); err != nil {
			logger.Warn("the last spans are lost", "cause", err)
		}
	}, err
}
