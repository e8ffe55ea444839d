// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
)

// Healthy returns nil if the gateway is alive. No token is sent.
func (c *Client) Healthy(ctx context.Context) error {
	_, err := c.doRequest(ctx, call{method: http.MethodGet, path: "/healthz", anonymous: true}, nil)
	return err
}

// Ready returns nil if the gateway can serve: it has its caches and is not
// shutting down. No token is sent.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.doRequest(ctx, call{method: http.MethodGet, path: "/readyz", anonymous: true}, nil)
	return err
}
