// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

// sender makes one attempt; see dispatcher.Client.
type sender interface {
	Start(request dispatcher.Request, done func(dispatcher.Result, error))
}

// Options are the dependencies and settings of a publisher.
type Options struct {
	// Client reaches objects with the gateway's own rights.
	Client client.Client
	Sender sender
	// Forbidden are the API server's own addresses.
	Forbidden func() []netip.Prefix
	// Namespaces are the namespaces that the gateway serves; empty: all.
	Namespaces []string
	// Limits bound the backlog.
	Limits store.BacklogLimits
	// First configures first attempts.
	First FirstAttempts
	// Skipped is the ConfigMap in which skipped deliveries are reported to the manager;
	// without a namespace nothing is reported. Replica is this gateway's key in it.
	Skipped client.ObjectKey
	Replica string

	// Store is what is in memory. The publisher subscribes to it.
	Store *store.Store
	// RequireRight returns nil if the caller has a right.
	RequireRight func(ctx context.Context, caller *auth.Caller, right auth.Right) error

	// Tracer makes a span for each event; nil: none.
	Tracer  *tracing.Tracer
	Metrics *Metrics
	Panics  *panics.Guard
	Logger  *slog.Logger
	Now     func() time.Time
	// Random makes ids: crypto/rand.Reader.
	Random io.Reader
}
