// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"net/netip"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

// guardedDispatcher is a dispatcher that gets nothing until the API server's addresses are
// known, which it must not reach.
type guardedDispatcher struct {
	tracing.Dispatcher
	addressesKnown func() bool
}

// Start makes one attempt; see dispatcher.Client.
func (c guardedDispatcher) Start(request dispatcher.Request, done func(dispatcher.Result, error)) {
	if !c.addressesKnown() {
		done(dispatcher.Result{}, errAddressesUnknown)
		return
	}
	c.Dispatcher.Start(request, done)
}

// CheckURL says whether a URL may be an endpoint; see dispatcher.Client.
func (c guardedDispatcher) CheckURL(ctx context.Context, url string, forbidden []netip.Prefix) error {
	if !c.addressesKnown() {
		return errAddressesUnknown
	}
	return c.Dispatcher.CheckURL(ctx, url, forbidden)
}
