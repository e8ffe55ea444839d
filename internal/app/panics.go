// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"log/slog"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"bbmcp.quietstack.com/webhooks/internal/panics"
)

// newPanicGuard keeps a panic over one input from ending the process, also in goroutines of
// client-go: they would end the process after logging the value of the panic, which may
// hold anything.
func newPanicGuard(logger *slog.Logger) *panics.Guard {
	guard := panics.New(metrics.Registry, logger)
	utilruntime.ReallyCrash = false
	utilruntime.PanicHandlers = []func(context.Context, any){func(_ context.Context, value any) { _ = guard.Recovered(panics.Background, value) }}
	return guard
}
