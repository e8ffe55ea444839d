// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"net/http"
)

// OpenAPI returns the API's description (OpenAPI 3.1). No token is sent.
func (c *Client) OpenAPI(ctx context.Context) (json.RawMessage, error) {
	var document json.RawMessage
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/openapi.json", anonymous: true, repeatable: true}, &document)
	return document, err
}

// Healthy returns nil if the gateway is alive. No token is sent.
func (c *Client) Healthy(ctx context.Context) error {
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/healthz", anonymous: true}, nil)
	return err
}

// Ready returns nil if the gateway can serve: it has its caches and is not
// shutting down. No token is sent.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/readyz", anonymous: true}, nil)
	return err
}
